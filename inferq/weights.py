"""Which weights of a model are served: those of its file, or others that were prepared of them for this CPU."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from shared import catalogue
from shared.catalogue import Model
from shared.config import Config
from shared.progress import listen
from worker import engines

log = logging.getLogger("inferq.models")


def choose_weights(model: Model, config: Config, *, anew: bool = False, told: bool = False, beside: int = 0) -> Model:
    """The model with the file whose weights are to be served, which is made if need be.

    The log says which and why, unless that was `told` before. With `anew`, what did not pay here is tried again. Other
    models are to have so many bytes of memory `beside` it.

    Raises EngineError for an engine that there is not, ModelFileError.
    """
    path = model.path
    if path is None or _is_as_it_is(model, config):
        return model
    from worker.formats.preparation import prepare

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


def choose_together(models: Sequence[Model], config: Config) -> list[Model]:
    """The same of models that are started together: each leaves room for the others."""
    found = list(models)
    for place, model in enumerate(models):
        with listen(partial(log.info, "%s: %s", model.id)):
            beside = sum(other.size or 0 for other in (*found[:place], *found[place + 1 :]))
            found[place] = choose_weights(model, config, beside=beside)
    return found


def find_weights(model: Model, config: Config) -> Model:
    """The same by what is known already: nothing is made, or measured. Raises EngineError."""
    if model.path is None or _is_as_it_is(model, config):
        return model
    from worker.formats.prepared import find

    known = find(model.path)
    made = known[1] if known else None
    return replace(model, path=made, engine="llama.cpp", size=made.stat().st_size) if made else model


def are_chosen(model: Model, config: Config) -> bool:
    """Whether nothing has to be made or measured any more to `choose_weights`. Raises EngineError, ModelFileError."""
    path = model.path
    if path is None or _is_as_it_is(model, config):
        return True
    if catalogue.is_legacy(path):
        from worker.formats.repack import find_gguf

        found = find_gguf(path, model.architecture or None)
        if found is None:
            return False
        path = found
    from worker.formats.preparation import is_prepared

    return is_prepared(path)


def _is_as_it_is(model: Model, config: Config) -> bool:
    return model.as_is or bool(config.as_is) or engines.choose(model) != "llama.cpp"
