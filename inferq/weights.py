"""Which weights of a model are served: those of its file, or others that were prepared of them for this CPU."""

from __future__ import annotations

import logging
from dataclasses import replace

from shared import catalogue
from shared.catalogue import Model
from shared.config import Config
from worker import engines

log = logging.getLogger("inferq.models")


def choose_weights(model: Model, config: Config, *, anew: bool = False, told: bool = False, beside: int = 0) -> Model:
    """The model with the file whose weights are to be served, which is made if need be.

    The log says which and why, unless that was `told` before. With `anew`, what did not pay here is tried again. Other
    models are to have so many bytes of memory `beside` it.

    Raises EngineError for an engine that there is not, ModelFileError.
    """
    if model.as_is or config.as_is or model.path is None or engines.choose(model) != "llama.cpp":
        return model
    from worker.formats.preparation import prepare

    path = model.path
    if catalogue.is_legacy(path):
        from worker.formats.repack import provide_gguf

        path = provide_gguf(path, model.architecture or None)
    found = prepare(path, model.threads or config.threads, anew=anew, beside=beside)
    if found.why:
        what = "weights prepared for this CPU from %s are served" if found.original else "%s is served as it is"
        log.log(logging.DEBUG if told else logging.INFO, f"%s: {what}: %s", model.id, path.name, found.why)
    if not found.original:
        return model
    size = found.path.stat().st_size
    return replace(model, path=found.path, engine="llama.cpp", size=size, prepared_from=found.original)
