"""A look at a model's file before anything starts: whoever waits for a start shall hear at once that it cannot be."""

from __future__ import annotations

import os
from pathlib import Path

from shared import catalogue
from shared.card import Card
from shared.catalogue import Model
from shared.config import Config
from shared.errors import InferqError, ModelFileError
from worker import engines
from worker.engines.llama_cpp_files import check_files
from worker.engines.outline import outline


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


def read_outline(model: Model, config: Config) -> tuple[Model, Card]:
    """The model with the engine that its file wants, and its outline, as far as it is here: by the headers of its
    files, and nothing is loaded. Raises ModelFileError and OSError; `tell` has the words."""
    catalogue.check_there(model)
    if model.path:
        model = catalogue.with_file(model, model.path)
    return model, outline(model, config)


def tell(exc: Exception, model: Model) -> str:
    """What is wrong with a file, for everybody: they may know what it is called, and no more of where it lies."""
    if not isinstance(exc, InferqError):
        return "its file cannot be read"
    if not isinstance(exc, ModelFileError):
        return exc.public
    told, sources = exc.message, [model.source, model.adapter.source if model.adapter else ""]
    for place in (str(model.path or ""), *(each.removeprefix("file:") for each in sources)):
        if place.startswith(os.sep):
            told = told.replace(f"{Path(place).parent}{os.sep}", "")
    return exc.public if os.sep in told else told
