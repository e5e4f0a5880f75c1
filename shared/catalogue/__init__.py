"""Which models there are by name: those of models.toml, the built-in ones, and every model file by its path."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

from shared.catalogue.built_in import BUILT_IN
from shared.catalogue.file import ARCHITECTURES, engine_for, is_legacy
from shared.catalogue.folder import models_in
from shared.catalogue.model import AUTO, ENGINES, WITHOUT_FILE, HubFile, Model, Wheel, cache
from shared.catalogue.models_toml import read
from shared.errors import InvalidRequest, ModelFileError, ModelNotFound
from shared.nearest import suggestion
from shared.regular_file import find

__all__ = [
    "ARCHITECTURES",
    "AUTO",
    "ENGINES",
    "WITHOUT_FILE",
    "HubFile",
    "Model",
    "Wheel",
    "announced",
    "cache",
    "is_legacy",
    "list_models",
    "resolve",
    "with_file",
]

MOST_BESIDE = 1000
"""Files that are looked at for a name like one that is missing."""


def list_models(models_toml: str = "") -> list[Model]:
    """The models that have names, with the paths of those whose file is here.

    `models_toml` is the setting INFERQ_MODELS: a models.toml, or a folder of models. A model of models.toml takes the
    place of a file of its name in the folder, and both that of a built-in one.

    Raises ConfigError for a models.toml that is not right.
    """
    return [_locate(model) for model in _known(models_toml)]


def announced(name: str, models_toml: str = "") -> Model:
    """The model that `resolve` finds under `name`, whether or not it does now: its names. Raises ConfigError."""
    model = _find(name, models_toml)
    return replace(model, path=None) if model else Model(Path(name).stem, f"file:{name}", None, AUTO, None)


def resolve(
    name: str, engine: str | None = None, *, architecture: str = "", chat_format: str = "", models_toml: str = ""
) -> Model:
    """The model called `name`, or else the file at that path. `engine` and the others go before the model's own.

    Raises:
        ConfigError: the models.toml is not right.
        ModelNotFound: there is no such model; names those that exist.
        ModelFileError: the file is missing, or no engine can serve it.
    """
    if architecture and architecture not in ARCHITECTURES:
        raise InvalidRequest(f"There is no architecture {architecture!r}; there are {', '.join(ARCHITECTURES)}.")
    model = _find(name, models_toml)
    model = _locate(model) if model else _file(name, models_toml)
    if model.path is None and model.source.startswith("file:"):
        raise ModelFileError(
            f"{model.source.removeprefix('file:')}: no such file; models.toml wants it for {model.id!r}"
        )
    model = replace(
        model,
        engine=engine or model.engine,
        architecture=architecture or model.architecture,
        chat_format=chat_format or model.chat_format,
    )
    return model if model.path is None else with_file(model, model.path)


def with_file(model: Model, path: Path) -> Model:
    """The model with its file, which is here now; AUTO becomes the engine that it wants, where its first bytes tell.

    Raises ModelFileError.
    """
    engine = engine_for(path, model.architecture) if model.engine == AUTO else model.engine
    return replace(model, path=path, engine=engine, size=path.stat().st_size)


def _known(models_toml: str) -> list[Model]:
    known = read(models_toml)
    files = {model.path for model in known}
    found = models_in(find(models_toml)) if models_toml else []
    for others in ([each for each in found if each.path and each.path.resolve() not in files], BUILT_IN):
        taken = {name for model in known for name in (model.id, *model.aliases)}
        known += [model for model in others if model.id not in taken]
    return known


def _find(name: str, models_toml: str) -> Model | None:
    return next((model for model in _known(models_toml) if name in (model.id, *model.aliases)), None)


def _locate(model: Model) -> Model:
    if model.origin is None:
        return model
    path = model.origin.locate()
    return replace(model, path=path, size=path.stat().st_size) if path else model


def _file(name: str, models_toml: str) -> Model:
    try:
        path = find(name)
    except OSError as exc:
        raise ModelFileError(f"{name}: cannot be read: {exc.strerror}") from exc
    if path.is_file():
        return Model(path.stem, f"file:{path}", path, AUTO, path.stat().st_size)
    if path.exists():
        raise ModelFileError(f"{name}: not a file; give the path of a model file")
    known = _known(models_toml)
    meant = suggestion(name, [name for model in known for name in (model.id, *model.aliases)]) or _beside(path, name)
    if "/" in name or path.suffix:
        raise ModelFileError(f"{name}: no such file.{meant}" if meant else f"{name}: no such file")
    names = ", ".join(model.id for model in known)
    raise ModelNotFound(f"There is no model {name!r}; there are {names}, or give the path of a model file.{meant}")


def _beside(path: Path, name: str) -> str:
    """A suggestion out of the files in the folder where the file of that name would be."""
    with suppress(OSError):
        files = (file for file in islice(path.parent.iterdir(), MOST_BESIDE) if file.suffix)
        return suggestion(name, [name.removesuffix(path.name) + file.name for file in files])
    return ""
