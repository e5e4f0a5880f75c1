"""What is kept of models on this machine: in inferq's cache, and in that of the Hugging Face hub, which others use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants

from shared import catalogue
from shared.catalogue import HubFile, Model
from shared.catalogue.choice import files_within, models_among
from shared.catalogue.parts import files_of
from shared.catalogue.use import forget_use, is_used
from shared.errors import InferqError, InvalidRequest

_FOLDER = "models--"
"""Begins the names of the folders of the hub's cache that have models; `--` stands in them for a slash."""


@dataclass(frozen=True, slots=True)
class KeptModel:
    """What `inferq rm` would remove."""

    name: str
    path: Path
    files: tuple[Path, ...]
    size: int
    """Bytes that are free afterwards."""
    shared: tuple[str, ...]
    """Other names of the same file."""


def hub_models() -> list[Model]:
    """The models in GGUF that the hub's cache has, whoever has fetched them, by their sources."""
    found = []
    for folder, revision, snapshot in _snapshots():
        repository = folder.name.removeprefix(_FOLDER).replace("--", "/")
        with suppress(OSError, InvalidRequest):
            for files, size in models_among(files_within(snapshot)).items():
                source = HubFile(repository, files[0], revision).source
                HubFile.read(source)  # what is no source is not offered
                found.append(Model(source, source, snapshot / files[0], "llama.cpp", size))
    return sorted(found, key=lambda model: model.id)


def _snapshots() -> Iterator[tuple[Path, str, Path]]:
    """The folder of each repository, with the name of each revision that it has, and where that is."""
    cache = Path(constants.HF_HUB_CACHE)
    with suppress(OSError):
        for folder in sorted(cache.glob(f"{_FOLDER}*--*")):
            names: dict[str, str] = {}
            for ref in sorted((folder / "refs").rglob("*")):
                with suppress(OSError, UnicodeDecodeError):
                    names.setdefault(ref.read_text().strip(), str(ref.relative_to(folder / "refs")))
            for snapshot in sorted((folder / "snapshots").glob("*")):
                if snapshot.is_dir():
                    yield folder, names.get(snapshot.name, snapshot.name), snapshot


def find_kept(name: str, models_toml: str) -> KeptModel:
    """What is kept of the model of that name, source or path.

    Raises InvalidRequest for what is not here, was not fetched, or is in use; and what `catalogue.resolve` raises.
    """
    model = catalogue.resolve(name, models_toml=models_toml)
    if adapter := model.adapter:
        raise InvalidRequest(
            f"{name} is an adapter of {adapter.base}: remove that by its name, or {adapter.path or adapter.source}"
        )
    if model.path is None:
        raise InvalidRequest(f"{name} is not on this machine" if model.origin else f"{name} has no file")
    own, hub = catalogue.cache(), Path(constants.HF_HUB_CACHE)
    if not any(model.path.absolute().is_relative_to(place.absolute()) for place in (own, hub)):
        raise InvalidRequest(f"{model.path} was not fetched by inferq; remove it yourself if it is not wanted any more")
    files = [file for part in files_of(model.path) for file in _with_blob(part)]
    files += _made_of(model.path)
    _check_unused(name, model.path)
    real = {file.stat().st_ino: file.stat().st_size for file in files if not file.is_symlink() and file.exists()}
    own_names, place = (name, model.id, model.source), model.path.resolve()
    others = [each for each in (*catalogue.list_models(models_toml), *hub_models()) if each.id not in own_names]
    shared = tuple(each.id for each in others if each.path and each.path.resolve() == place)
    return KeptModel(name, model.path, tuple(files), sum(real.values()), shared)


def _check_unused(name: str, path: Path) -> None:
    if is_used(path):
        raise InvalidRequest(f"{name} is in use: end what serves it first (`inferq status` tells)")


def _with_blob(path: Path) -> list[Path]:
    """A file, and what it leads to where nothing else in this repository of the hub's cache does."""
    if not path.is_symlink():
        return [path] if path.exists() else []
    blob = path.resolve()
    folder = next((parent for parent in path.parents if parent.name.startswith(_FOLDER)), None)
    if folder is None or not blob.is_relative_to(folder.resolve()):
        return [path]
    others = (file for file in (folder / "snapshots").rglob("*") if file.is_symlink() and file != path)
    shared = any(file.resolve() == blob for file in others)
    return [path] if shared else [path, blob]


def _made_of(path: Path) -> list[Path]:
    from worker.formats.prepared import find

    known = find(path)
    return [known[1]] if known and known[1] else []


def remove(kept: KeptModel) -> int:
    """Remove it, and tell how many bytes that makes free. Raises InferqError, also where it has come into use."""
    from worker.formats.prepared import sweep

    _check_unused(kept.name, kept.path)  # whoever was asked may have taken his time
    try:
        for file in kept.files:
            file.unlink(missing_ok=True)
            with suppress(OSError):  # others may be in it
                for folder in file.parents:
                    if folder.name in ("blobs", "snapshots", "prepared", "models"):
                        break
                    folder.rmdir()
        with suppress(OSError):
            sweep(kept.path)
    except OSError as exc:
        raise InferqError(f"{exc.filename}: cannot be removed: {exc.strerror}") from exc
    forget_use(kept.path)
    return kept.size
