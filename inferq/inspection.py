"""A look at a model's file before anything starts: whoever waits for a start shall hear at once that it cannot be."""

from __future__ import annotations

from shared.catalogue import Model
from worker import engines
from worker.engines.llama_cpp_files import check_files


def inspect_model(model: Model) -> Model:
    """The same model. A legacy file that llama.cpp serves is repacked, as far as the cache does not have it.

    Raises EngineMisfit for an engine that there is not, ModelFileError, ConfigError for an unknown chat format.
    """
    if model.chat_format:
        from worker.chat_formats import template

        template(model.chat_format)
    if engines.choose(model) == "llama.cpp" and model.path:
        check_files(model)
    return model
