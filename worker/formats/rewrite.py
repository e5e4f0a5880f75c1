"""Writing the tensors of GGUF files in other types, from a few megabytes of memory."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from shared.cores import usable
from shared.errors import ModelFileError
from shared.regular_file import open_regular
from worker.formats.ggml import BLOCKS
from worker.formats.ggml_library import quantise_rows
from worker.formats.gguf import Header, Tensor
from worker.formats.gguf_writer import OnProgress, silent

_QUANTISATION_VERSION = 2
_VERSION, _UINT32 = 3, 4
_Q5_0, _Q8_0 = 6, 8
_CHUNK = 1 << 20
"""Weights that one thread works on at a time."""
_REPLACED = {"general.quantization_version", "general.file_type"}


@dataclass(frozen=True, slots=True)
class Recast:
    """A tensor, where it is, and the ggml type in which it is wanted."""

    path: Path
    start: int
    """Its first byte in the file."""
    tensor: Tensor
    wanted: int


def rewrite(
    source: Path,
    header: Header,
    work: Sequence[Recast],
    target: Path,
    file_type: int,
    progress: OnProgress = silent,
    *,
    without: str = "",
) -> None:
    """Write a GGUF file of these tensors, in this order, with the metadata of `source`, whose `header` has been read.

    `file_type` is the number of `general.file_type`. Metadata whose key begins with `without` is left out.

    Raises ModelFileError where weights are no numbers, or a file has become shorter.
    """
    total, done = sum(item.tensor.size for item in work), 0
    with ExitStack() as stack:
        files = {path: stack.enter_context(open_regular(path)) for path in {source, *(item.path for item in work)}}
        new, threads = stack.enter_context(target.open("wb")), stack.enter_context(ThreadPoolExecutor(usable()))
        new.write(_head(files[source].fileno(), header, work, file_type, without))
        for item in work:
            rows = _Rows(files[item.path].fileno(), item)
            for batch in rows.batches(usable()):
                for piece in threads.map(rows.pack, batch):
                    new.write(piece)
                done += sum(map(len, batch)) * rows.width
                progress(done, total)
            new.write(bytes(-new.tell() % header.alignment))


class _Rows:
    """The rows of one tensor, in the file and in the type that is wanted."""

    def __init__(self, file: int, item: Recast) -> None:
        self._file, self._item, self._tensor = file, item, item.tensor
        self._count = math.prod(item.tensor.shape[1:])
        self.width = item.tensor.size // self._count
        """Bytes of a row in the source."""

    def batches(self, size: int) -> Iterator[list[range]]:
        """Lists of `size` ranges of rows, so that no more of them are in memory at once."""
        step = max(1, _CHUNK // self._tensor.shape[0])
        for first in range(0, self._count, step * size):
            end = min(self._count, first + step * size)
            yield [range(i, min(end, i + step)) for i in range(first, end, step)]

    def pack(self, rows: range) -> bytes:
        tensor, wanted = self._tensor, self._item.wanted
        raw = os.pread(self._file, len(rows) * self.width, self._item.start + rows.start * self.width)
        if len(raw) < len(rows) * self.width:
            raise ModelFileError(f"{self._item.path}: the file has become shorter while it was read")
        if wanted == tensor.kind:
            return raw
        stored = np.frombuffer(raw, np.uint8).reshape(len(rows), self.width)
        if (tensor.kind, wanted) == (_Q5_0, _Q8_0):
            scales, same = _widen(stored)
            self._check(scales)
            return same.tobytes()
        weights = gguf.quants.dequantize(stored, gguf.GGMLQuantizationType(tensor.kind))
        self._check(weights)
        return quantise_rows(weights, wanted).tobytes()

    def _check(self, numbers: npt.NDArray[Any]) -> None:
        if not np.isfinite(numbers).all():
            raise ModelFileError(f"{self._item.path}: the tensor {self._tensor.name!r} has weights that are no numbers")


def _widen(rows: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.uint8]]:
    """The scales of rows in Q5_0, and the same rows in Q8_0, of exactly the same weights.

    A block of both is one scale and 32 whole numbers: here from -16 to 15, there from -128 to 127. Quantised anew, each
    block would get another scale, by which its weights are no whole numbers. Shape [rows, blocks * 22] to
    [rows, blocks * 34].
    """
    blocks = rows.reshape(-1, 22)
    scales, high, low = np.split(blocks, (2, 6), axis=1)  # the fifth bits of all, then four bits of each
    numbers = np.concatenate((low & 15, low >> 4), axis=1) | np.unpackbits(high, axis=1, bitorder="little") << 4
    wide = np.concatenate((scales, numbers - np.uint8(16)), axis=1)
    return np.ascontiguousarray(scales).view(np.float16), wide.reshape(len(rows), -1)


def _head(file: int, header: Header, work: Sequence[Recast], file_type: int, without: str) -> bytes:
    """All that comes before the data: what the source says of its model, and where the new tensors are."""
    kept = {key: place for key, place in header.pairs.items() if not (without and key.startswith(without))}
    pairs = [_bytes(file, place) for key, place in kept.items() if key not in _REPLACED]
    for key, value in (("general.quantization_version", _QUANTISATION_VERSION), ("general.file_type", file_type)):
        pairs.append(_text(key) + struct.pack("<II", _UINT32, value))
    tensors, offset = [], 0
    for item in work:
        shape, kind = item.tensor.shape, item.wanted
        tensors.append(_text(item.tensor.name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset))
        block, width = BLOCKS[kind]
        size = math.prod(shape) // block * width
        offset += size + -size % header.alignment
    head = struct.pack("<4sIQQ", b"GGUF", _VERSION, len(tensors), len(pairs)) + b"".join(pairs + tensors)
    return head + bytes(-len(head) % header.alignment)


def _bytes(file: int, place: tuple[int, int]) -> bytes:
    start, end = place
    return os.pread(file, end - start, start)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
