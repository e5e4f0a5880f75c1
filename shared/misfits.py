"""What keeps a model from being served as long as nobody changes anything: to be told once, and not tried again."""

from __future__ import annotations

from shared.errors import EngineError, ModelFileError


class WrongFile(ModelFileError):
    """A file is something else than a model that can be served. Has the code of its base, which may be being copied."""

    permanent = True


class EngineMisfit(EngineError):
    """An engine is not here, not for this machine, or not for this model. Has the code of its base."""

    words = "The engine cannot serve this model on this machine."
    permanent = True
