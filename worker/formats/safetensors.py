"""Safetensors files: their header, checked against the file, and their tensors as arrays that stay in it.

https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import ModelFileError
from shared.regular_file import open_regular
from worker.formats.checkpoint_tokenizer import read_json

_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
LARGEST_HEADER = 16 << 20
"""Bytes of the JSON that begins a file; a hundred thousand tensors need about as much."""
_MOST_DIMENSIONS = 8
_NUMBERS = ".position_ids"
"""Ending of the whole numbers 0, 1, 2, ..., which older checkpoints have as a tensor."""
_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor; the outermost dimension first, as in the file."""

    path: Path
    kind: str
    shape: tuple[int, ...]
    offset: int
    """From the beginning of the file, in bytes."""

    def values(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Some rows; those of the kind BF16 as numbers of 32 bits, which hold the same."""
        whole: npt.NDArray[Any] = np.memmap(self.path, _TYPES[self.kind], "r", self.offset, self.shape)
        if self.kind == "BF16":
            return np.left_shift(whole[start:stop].astype(np.uint32), 16).view(np.float32)
        return whole[start:stop]


def read_tensors(folder: Path) -> dict[str, Stored]:
    """The tensors of a checkpoint, in one file or several.

    Raises ModelFileError, naming the file, for what is missing, damaged, or of a type that is no 16 or 32 bit float.
    """
    if (folder / _SINGLE).exists():
        return _read(folder / _SINGLE)
    if not (folder / _INDEX).exists():
        others = [path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in sorted(folder.glob(pattern))]
        found = f"; {others[0]} runs code when it is read: save it anew as safetensors" if others else ""
        raise ModelFileError(f"{folder}: there is no {_SINGLE}{found}")
    places = read_json(folder / _INDEX).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ModelFileError(f"{folder / _INDEX}: weight_map is missing, or not of names")
    tensors: dict[str, Stored] = {}
    for name in sorted(set(places.values())):
        if Path(name).name != name:
            raise ModelFileError(f"{folder / _INDEX}: {name!r} is not a file in this folder")
        tensors |= _read(folder / name)
    return tensors


def _read(path: Path) -> dict[str, Stored]:
    try:
        size = path.stat().st_size
        with open_regular(path) as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, LARGEST_HEADER):
                raise ModelFileError(f"{path}: at byte 0: a header of {length} bytes, in a file of {size}")
            described = json.loads(file.read(length))
    except OSError as exc:
        raise ModelFileError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise ModelFileError(f"{path}: at byte 8: the header is not JSON") from exc
    if not isinstance(described, dict):
        raise ModelFileError(f"{path}: at byte 8: the header is not a JSON object")
    described.pop("__metadata__", None)
    described = {name: entry for name, entry in described.items() if not name.endswith(_NUMBERS)}
    return {name: _read_entry(path, size, 8 + length, name, entry) for name, entry in described.items()}


def _read_entry(path: Path, size: int, start: int, name: str, entry: Any) -> Stored:
    fields: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
    kind, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ModelFileError(
            f"{path}: the tensor {name!r} is of the type {str(kind)[:20]!r}; only {', '.join(_TYPES)} can be converted"
        )
    whole = all(isinstance(each, list) and all(type(n) is int and n >= 0 for n in each) for each in (shape, offsets))
    if not whole or not shape or len(shape) > _MOST_DIMENSIONS or not offsets or len(offsets) != 2:
        raise ModelFileError(f"{path}: the tensor {name!r} has no shape and place")
    begin, end = offsets
    if end - begin != prod(shape) * _TYPES[kind].itemsize or start + end > size or end == begin:
        raise ModelFileError(f"{path}: the tensor {name!r} does not fit its place; the file is truncated or damaged")
    return Stored(path, kind, tuple(shape), start + begin)
