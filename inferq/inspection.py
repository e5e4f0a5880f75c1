"""A look at a model's file before anything starts: whoever waits for a start shall hear at once that it cannot be."""

from __future__ import annotations

from shared import catalogue
from shared.catalogue import Model
from worker import engines
from worker.formats.gguf import read_model
from worker.formats.gguf_parts import with_parts


def inspect_model(model: Model) -> Model:
    """The same model. A legacy file that llama.cpp serves is repacked, as far as the cache does not have it.

    Raises EngineMisfit for an engine that there is not, ModelFileError, ConfigError for an unknown chat format.
    """
    if model.chat_format:
        from worker.chat_formats import template

        template(model.chat_format)
    if engines.choose(model) == "llama.cpp" and model.path:
        if catalogue.is_legacy(model.path):
            from worker.formats.repack import provide_gguf

            provide_gguf(model.path, model.architecture or None)
        else:
            with_parts(model.path, read_model(model.path))
    return model
