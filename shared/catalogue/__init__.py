"""Which models there are: those of models.toml and the built-in ones by name, files by their paths, and the hub's by
their source. Whatever takes a model asks here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

from shared.catalogue.adapters import adapt, locate_adapter, read_name
from shared.catalogue.built_in import BUILT_IN
from shared.catalogue.choice import choose_within
from shared.catalogue.file import ARCHITECTURES, engine_for, is_legacy
from shared.catalogue.folder import companions_in, models_in
from shared.catalogue.model import AUTO, ENGINES, WITHOUT_FILE, Adapter, Model
from shared.catalogue.models_toml import read
from shared.catalogue.origin import HUB, HubFile, Wheel, cache, is_source
from shared.catalogue.parts import size_of, whole_name
from shared.errors import InvalidRequest, ModelFileError, ModelNotFound
from shared.nearest import suggestion
from shared.regular_file import find_named

__all__ = [
    "ARCHITECTURES",
    "AUTO",
    "ENGINES",
    "WITHOUT_FILE",
    "Adapter",
    "HubFile",
    "Model",
    "Wheel",
    "announced",
    "beside_models",
    "cache",
    "is_legacy",
    "is_source",
    "list_models",
    "resolve",
    "size_of",
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


def beside_models(models_toml: str) -> list[Model]:
    """What lies in a folder of models and is not offered, for its name says that it goes with one."""
    return companions_in(find_named(models_toml)) if models_toml else []


def announced(name: str, models_toml: str = "") -> Model:
    """The model that `resolve` finds under `name`, whether or not it does now: its names.

    Raises ConfigError, and InvalidRequest for a source that is none.
    """
    if model := _find(name, models_toml) or _adapted(name, models_toml):
        return replace(model, path=None)
    if is_source(name):
        return replace(_of_hub(name), path=None)
    return Model(_title(Path(name)), f"file:{name}", None, AUTO, None)


def resolve(
    name: str, engine: str | None = None, *, architecture: str = "", chat_format: str = "", models_toml: str = ""
) -> Model:
    """The model called `name`, or of that source, or else the file at that path, of several the first one; of a folder
    the model in it; or a model's name with an adapter behind it. `engine` and the others go before the model's own.

    Raises:
        ConfigError: the models.toml is not right.
        ModelNotFound: there is no such model; names those that exist.
        ModelFileError: the file is missing, or no engine can serve it.
        InvalidRequest: it is a source that is none, or there is no such architecture.
    """
    if architecture and architecture not in ARCHITECTURES:
        raise InvalidRequest(f"There is no architecture {architecture!r}; there are {', '.join(ARCHITECTURES)}.")
    model = _find(name, models_toml) or _adapted(name, models_toml)
    model = model or (_of_hub(name) if is_source(name) else None)
    model = _locate(model) if model else _file(name, models_toml)
    check_there(model)
    model = replace(
        model,
        engine=engine or model.engine,
        architecture=architecture or model.architecture,
        chat_format=chat_format or model.chat_format,
    )
    return model if model.path is None else with_file(model, model.path)


def check_there(model: Model) -> None:
    """Raises ModelFileError where a file that it names is missing, and is not to be fetched."""
    if model.path is None and model.source.startswith("file:"):
        raise ModelFileError(
            f"{model.source.removeprefix('file:')}: no such file; models.toml wants it for {model.id!r}"
        )
    adapter = model.adapter
    if adapter and not (adapter.path or adapter.origin):
        raise ModelFileError(f"{adapter.source.removeprefix('file:')}: no such file, the adapter of {model.id!r}")


def with_file(model: Model, path: Path) -> Model:
    """The model with its file, which is here now; AUTO becomes the engine that it wants, where its first bytes tell.

    Raises ModelFileError.
    """
    engine = engine_for(path, model.architecture) if model.engine == AUTO else model.engine
    return replace(model, path=path, engine=engine, size=size_of(path))


def _known(models_toml: str) -> list[Model]:
    known = read(models_toml)
    for others in (_found(known, find_named(models_toml)) if models_toml else [], BUILT_IN):
        taken = {name for model in known for name in (model.id, *model.aliases)}
        known += [model for model in others if model.id not in taken]
    return [adapt(model, known) for model in known]


def _found(known: Sequence[Model], folder: Path) -> list[Model]:
    """The models of a folder whose files are none of the known ones', neither by their names nor by what these lead to,
    if they are links."""
    files = {path for model in known for path in (model.path, *(path for path, _ in model.adapters)) if path}
    found, real = models_in(folder), folder.resolve()
    if not files:
        return found
    paths = ((each, each.path) for each in found if each.path)
    return [each for each, path in paths if files.isdisjoint((real / path.relative_to(folder), path.resolve()))]


def _find(name: str, models_toml: str) -> Model | None:
    return next((model for model in _known(models_toml) if name in (model.id, *model.aliases)), None)


def _adapted(name: str, models_toml: str) -> Model | None:
    if ":" not in name:
        return None
    try:
        return read_name(name, _known(models_toml))
    except OSError as exc:
        raise ModelFileError(f"{name}: cannot be read: {exc.strerror}") from exc


def _locate(model: Model) -> Model:
    model = locate_adapter(model)
    if model.origin is None:
        return model
    path = model.origin.locate()
    return replace(model, path=path, size=size_of(path)) if path else model


def _of_hub(source: str) -> Model:
    wanted = HubFile.read(source)
    return Model(wanted.name, wanted.source, None, AUTO, None, origin=wanted)


def _title(path: Path) -> str:
    """What the model in a file, or in the only one of a folder, is called."""
    return path.name if path.is_dir() else Path(whole_name(path.name)).stem


def _file(name: str, models_toml: str) -> Model:
    try:
        path = find_named(name)
    except OSError as exc:
        raise ModelFileError(f"{name}: cannot be read: {exc.strerror}") from exc
    if path.is_dir():
        return replace(_file(str(choose_within(path)), models_toml), id=path.name)
    if path.is_file():
        return Model(_title(path), f"file:{path}", path, AUTO, size_of(path))
    if path.exists():
        raise ModelFileError(f"{name}: not a file; give the path of a model file")
    known = _known(models_toml)
    meant = suggestion(name, [name for model in known for name in (model.id, *model.aliases)]) or _beside(path, name)
    if "/" in name or path.suffix:
        looked = "" if str(path) == name else f" (looked for {path})"
        base, _, adapter = name.partition(":")
        if adapter and Path(base).exists():
            more = f" The base of an adapter is a model with a name: --models with the folder of {base} gives it one"
        else:
            more = f" If it is on the Hugging Face hub, its source is {HUB}{name}" if is_source(HUB + name) else ""
        raise ModelFileError(f"{name}: no such file{looked}" + (f".{meant}{more}" if meant or more else ""))
    names = ", ".join(model.id for model in known)
    raise ModelNotFound(
        f"There is no model {name!r}; there are {names}, or give the path of a model file (there is no {path}), or"
        f" {HUB}owner/repository.{meant}"
    )


def _beside(path: Path, name: str) -> str:
    """A suggestion out of the files in the folder where the file of that name would be."""
    with suppress(OSError):
        files = (file for file in islice(path.parent.iterdir(), MOST_BESIDE) if file.suffix)
        return suggestion(name, [name.removesuffix(path.name) + file.name for file in files])
    return ""
