"""LoRA adapters as models of their own, which are called `base:adapter` where they have no other name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from shared.catalogue.model import AUTO, SETTINGS, Adapter, Model
from shared.catalogue.origin import HubFile, is_source
from shared.config import ConfigError
from shared.errors import InvalidRequest
from shared.regular_file import find_named

ABOUT = frozenset(
    (
        *("id", "aliases", "base", "adapter", "scale", "sha256", "chat_format", "parse_special", "context", "slots"),
        *("threads", "sampling", "keep", "workers", *SETTINGS),
    )
)
"""What models.toml may say of an adapter; all else is as its base has it."""


QUEUES_OWN = ":intermediate"
"""Ends the name of the second list of a model's queue in Redis: a model that is called so would have it for a queue."""


def read_adapter(base: str, text: str, folder: Path | None = None, *, scale: float = 1.0, sha256: str = "") -> Adapter:
    """That of a source on the hub, or of a path, beside a folder if one is given.

    Raises OSError for a path that cannot be one, InvalidRequest for a source that is none.
    """
    if is_source(text):
        origin = HubFile.read(text)
        if not origin.file:
            raise InvalidRequest(f"{text!r} does not say which file of the repository: an adapter is not chosen")
        return Adapter(base, origin.source, None, scale, origin, sha256)
    path = find_named(text, folder) if folder else find_named(text)
    return Adapter(base, f"file:{path}", path if path.is_file() else None, scale, sha256=sha256)


def adapt(model: Model, others: Sequence[Model]) -> Model:
    """The model of an adapter with all that it has of its base, which is one of the others; any other as it is.

    Raises ConfigError where there is no such base.
    """
    if (adapter := model.adapter) is None:
        return model
    if model.id.endswith(QUEUES_OWN):
        raise ConfigError(f"{model.id}: key 'id': no name may end with {QUEUES_OWN}: give it one of its own")
    bases = [other for other in others if other.adapter is None and other is not model]
    base = next((other for other in bases if adapter.base in (other.id, *other.aliases)), None)
    if base is None:
        names = ", ".join(other.id for other in bases)
        raise ConfigError(
            f"{model.id}: key 'base': there is no model {adapter.base!r} that an adapter could be of: there are {names}"
        )
    return replace(
        base,
        id=model.id,
        aliases=model.aliases,
        adapter=replace(adapter, base=base.id),
        chat_format=model.chat_format or base.chat_format,
        parse_special=model.parse_special or base.parse_special,
        context=model.context or base.context,
        slots=model.slots or base.slots,
        threads=model.threads or base.threads,
        settings={**base.settings, **model.settings},
        sampling={**base.sampling, **model.sampling},
        keep=base.keep if model.keep is None else model.keep,
        workers=model.workers,
    )


def locate_adapter(model: Model) -> Model:
    """The model with its adapter's file, if it is on this machine."""
    adapter = model.adapter
    if adapter is None or adapter.origin is None or (path := adapter.origin.locate()) is None:
        return model
    return replace(model, adapter=replace(adapter, path=path))


def read_name(name: str, known: Sequence[Model]) -> Model | None:
    """What is meant by a model's name with a file or a source behind it: `smollm2:formal.gguf`; None by any other.

    Raises what `read_adapter` does.
    """
    titles = (title for model in known if model.adapter is None for title in (model.id, *model.aliases))
    base = max((title for title in titles if name.startswith(f"{title}:")), key=len, default="")
    text = name.removeprefix(f"{base}:")
    if not base or not (is_source(text) or text.endswith(".gguf")):
        return None
    adapter = read_adapter(base, text)
    return adapt(Model(adapter.title, "", None, AUTO, None, adapter=adapter), known)
