"""Quantising a GGUF file: the same bytes that llama.cpp's llama-quantize writes, from a few megabytes of memory."""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import gguf
import numpy as np

from shared.cores import usable
from shared.errors import InvalidRequest, ModelFileError
from shared.regular_file import open_regular
from worker.formats.ggml import BLOCKS
from worker.formats.ggml_library import quantise_rows
from worker.formats.gguf import Header, Tensor, read_header
from worker.formats.gguf_writer import OnProgress, silent
from worker.formats.mixture import TYPES, kinds

_PLAIN = {0, 1, 30}
"""F32, F16 and BF16: what can be quantised without losing twice."""
_QUANTISATION_VERSION = 2
_VERSION, _UINT32 = 3, 4
_CHUNK = 1 << 20
"""Weights that one thread works on at a time."""
_REPLACED = {"general.quantization_version", "general.file_type"}


def quantise(
    source: Path,
    target: Path,
    kind: str,
    progress: OnProgress = silent,
    *,
    pure: bool = False,
    allow_requantise: bool = False,
) -> None:
    """Write `source`, a GGUF file of f32, f16 or bf16 weights, to `target` in the type `kind`, one of `TYPES`.

    Norms, biases and other small tensors stay as they are. Unless `pure`, some get more bits, as in llama.cpp: first of
    all `output.weight`. Rows that are not whole blocks of 32 become f16.

    Raises:
        InvalidRequest: there is no such type.
        ModelFileError: the source is damaged, holds weights that are no numbers, or is quantised already and
            `allow_requantise` is false.
    """
    if kind not in TYPES:
        raise InvalidRequest(f"there is no type {kind!r}; there are {', '.join(TYPES)}", param="TYPE")
    header = read_header(source)
    tensors = sorted(header.tensors, key=_order)
    targets = kinds(header, tensors, kind, pure=pure)
    work = list(zip(tensors, targets, strict=True))
    for tensor, wanted in work:
        if wanted != tensor.kind and tensor.kind not in _PLAIN and not allow_requantise:
            name = gguf.GGMLQuantizationType(tensor.kind).name
            raise ModelFileError(
                f"{source}: {tensor.name!r} is quantised already, as {name}, and quantising it again loses more;"
                " take the f16 file, or allow it with --allow-requantize"
            )
    total, done = sum(tensor.size for tensor in tensors), 0
    with open_regular(source) as old, target.open("wb") as new, ThreadPoolExecutor(usable()) as threads:
        new.write(_head(old, header, work, TYPES[kind][0]))
        for tensor, wanted in work:
            rows = _Rows(source, old.fileno(), header.data_offset + tensor.offset, tensor, wanted)
            for batch in rows.batches(usable()):
                for piece in threads.map(rows.pack, batch):
                    new.write(piece)
                done += sum(map(len, batch)) * rows.width
                progress(done, total)
            new.write(bytes(-new.tell() % header.alignment))


class _Rows:
    """The rows of one tensor, in the file and in the type that is wanted."""

    def __init__(self, path: Path, file: int, start: int, tensor: Tensor, wanted: int) -> None:
        self._path, self._file, self._start, self._tensor, self._wanted = path, file, start, tensor, wanted
        self._count = math.prod(tensor.shape[1:])
        self.width = tensor.size // self._count
        """Bytes of a row in the source."""

    def batches(self, size: int) -> Iterator[list[range]]:
        """Lists of `size` ranges of rows, so that no more of them are in memory at once."""
        step = max(1, _CHUNK // self._tensor.shape[0])
        for first in range(0, self._count, step * size):
            end = min(self._count, first + step * size)
            yield [range(i, min(end, i + step)) for i in range(first, end, step)]

    def pack(self, rows: range) -> bytes:
        tensor = self._tensor
        raw = os.pread(self._file, len(rows) * self.width, self._start + rows.start * self.width)
        if self._wanted == tensor.kind:
            return raw
        stored = np.frombuffer(raw, np.uint8).reshape(len(rows), self.width)
        weights = gguf.quants.dequantize(stored, gguf.GGMLQuantizationType(tensor.kind))
        if not np.isfinite(weights).all():
            raise ModelFileError(f"{self._path}: the tensor {tensor.name!r} has weights that are no numbers")
        return quantise_rows(weights, self._wanted).tobytes()


def _order(tensor: Tensor) -> tuple[int, str]:
    """llama.cpp writes the tensors outside the blocks first, then block by block, by name."""
    found = re.match(r"blk\.(\d+)\.", tensor.name)
    return (int(found[1]) if found else -1), tensor.name


def _head(file: BinaryIO, header: Header, work: list[tuple[Tensor, int]], file_type: int) -> bytes:
    """All that comes before the data: what the source says of its model, and where the new tensors are."""
    pairs = [_bytes(file, place) for key, place in header.pairs.items() if key not in _REPLACED]
    for key, value in (("general.quantization_version", _QUANTISATION_VERSION), ("general.file_type", file_type)):
        pairs.append(_text(key) + struct.pack("<II", _UINT32, value))
    tensors, offset = [], 0
    for tensor, kind in work:
        shape = tensor.shape
        tensors.append(_text(tensor.name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset))
        block, width = BLOCKS[kind]
        size = math.prod(shape) // block * width
        offset += size + -size % header.alignment
    head = struct.pack("<4sIQQ", b"GGUF", _VERSION, len(tensors), len(pairs)) + b"".join(pairs + tensors)
    return head + bytes(-len(head) % header.alignment)


def _bytes(file: BinaryIO, place: tuple[int, int]) -> bytes:
    start, end = place
    return os.pread(file.fileno(), end - start, start)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
