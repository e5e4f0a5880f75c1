"""LoRA adapters of the tiny model, and the same as weights of a model that was made with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np

from tests.tiny import TINY

MATRICES = {"blk.0.attn_q.weight": (128, 128), "blk.1.ffn_down.weight": (256, 128), "output.weight": (128, 512)}
"""Some of it, with the numbers of their columns and rows."""
ALPHA, RANK = 8.0, 4


def write_adapter(
    path: Path,
    seed: int = 3,
    *,
    architecture: str = "llama",
    kind: str = "adapter",
    halves: Sequence[str] = "ab",
    more: int = 0,
) -> Path:
    """One with random numbers. `more` is by how many columns each matrix is too large."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(kind)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    for name, (a, b) in _draw(seed, more).items():
        for half, numbers in zip("ab", (a, b), strict=True):
            if half in halves:
                writer.add_tensor(f"{name}.lora_{half}", numbers)
    _finish(writer)
    return path


def merge(path: Path, seed: int = 3, scale: float = 1.0) -> Path:
    """Write the tiny model as if its weights had been trained so, in 32 bits."""
    reader = gguf.GGUFReader(TINY)
    writer = gguf.GGUFWriter(path, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind, inner = field.types[0], field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(field.name, field.contents(), kind, inner)
    changes = _draw(seed)
    for tensor in reader.tensors:
        numbers = tensor.data.astype(np.float32)
        if tensor.name in changes:
            a, b = changes[tensor.name]
            numbers = numbers + np.float32(scale * ALPHA / RANK) * (b @ a)
        writer.add_tensor(tensor.name, numbers)
    _finish(writer)
    return path


def _draw(seed: int, more: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    numbers = np.random.default_rng(seed)
    found = {}
    for name, (columns, rows) in MATRICES.items():
        a = numbers.normal(scale=0.1, size=(RANK, columns + more)).astype("<f4")
        found[name] = a, numbers.normal(scale=0.1, size=(rows, RANK)).astype("<f4")
    return found


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
