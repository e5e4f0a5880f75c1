"""The files that llama.cpp is given: a model's, its adapters' and its draft's, each checked before it sees them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.catalogue import Model, is_legacy
from shared.config import Config
from shared.cores import usable
from shared.errors import EngineError, ModelFileError
from worker.chat_formats import template
from worker.formats.gguf import Header, read_header


@dataclass(frozen=True, slots=True)
class Files:
    path: Path
    header: Header
    lora: tuple[tuple[Path, float], ...]
    draft: Path | None


def check_files(model: Model) -> Files:
    """A legacy file is repacked into the cache first, which takes a while.

    Raises ModelFileError for the one that is damaged, or is not what it is given for.
    """
    if model.path is None:
        raise EngineError(f"the engine llama.cpp needs a file for the model {model.id!r}")
    path = _gguf(model.path, model.architecture)
    header = read_header(path)
    lora = tuple((_adapter(adapter, header), scale) for adapter, scale in model.lora)
    if model.draft is not None:
        read_header(model.draft)
    return Files(path.resolve(), header, lora, model.draft.resolve() if model.draft else None)


def _gguf(path: Path, architecture: str) -> Path:
    try:
        legacy = is_legacy(path)
    except OSError as exc:
        raise ModelFileError(f"{path}: cannot be read: {exc.strerror}") from exc
    if not legacy:
        return path
    from worker.formats.repack import provide_gguf

    return provide_gguf(path, architecture or None)


def _adapter(path: Path, model: Header) -> Path:
    header = read_header(path)
    kind = header.metadata.get("adapter.type")
    if header.metadata.get("general.type") != "adapter" or kind != "lora":
        raise ModelFileError(f"{path}: this is no LoRA adapter: general.type and adapter.type do not say so")
    if header.architecture != model.architecture:
        raise ModelFileError(f"{path}: an adapter for {header.architecture}, but the model is {model.architecture}")
    return path.resolve()


def host_parameters(model: Model, files: Files, config: Config, batch: int, key: str) -> dict[str, Any]:
    """What the host needs to know, which reads `batch` tokens a step, and answers who knows the key."""
    return {
        "path": str(files.path),
        "reads": [str(path) for path in (files.path, *dict(files.lora), files.draft) if path],
        "key": key,
        "context": config.context,
        "slots": config.slots,
        "threads": config.threads or max(1, usable() - 1),
        "batch_threads": config.threads or usable(),
        "batch": batch,
        "lora": [(str(path), scale) for path, scale in files.lora],
        "draft": str(files.draft) if files.draft else "",
        "rope_freq_base": model.rope_freq_base or 0.0,
        "rope_freq_scale": model.rope_freq_scale or 0.0,
        "chat_template": template(model.chat_format) if model.chat_format else "",
    }
