"""Repacks legacy GGML files to GGUF: the same weights, bit by bit, in the order and under the names of llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared import catalogue, checksums
from shared.errors import ModelFileError
from shared.file_lock import FileLock, patience
from shared.progress import step
from shared.regular_file import open_regular
from shared.whole_file import write_whole
from worker.formats.architectures import ARCHITECTURES
from worker.formats.architectures.mapping import Order
from worker.formats.gguf_writer import Blob, OnProgress, make_blobs, silent, write
from worker.formats.legacy import Legacy, LegacyTensor, read_legacy
from worker.formats.tokenizer import of_legacy

_REVISION = 1
"""Counts what changes the outcome, so that the cache is not asked for what an older inferq has made."""
_F32, _Q4_0, _Q4_1, _Q5_0, _Q5_1, _Q8_0 = 0, 2, 3, 6, 7, 8
_NAMES = {_Q4_0: "Q4_0", _Q4_1: "Q4_1", _Q5_0: "Q5_0", _Q5_1: "Q5_1", _Q8_0: "Q8_0"}
_PIECE = 22 * 24 << 15
"""Bytes that are copied at once; whole blocks of Q5_0 and Q5_1."""

Rows = npt.NDArray[np.uint8]


def repack(source: Path, target: Path, architecture: str | None = None, progress: OnProgress = silent) -> None:
    """Write the model in the legacy file `source` to the GGUF file `target`.

    Raises ModelFileError: the source is damaged, or llama.cpp has no graph for it, or its quantisation is too old.
    """
    legacy = read_legacy(source, architecture)
    described = ARCHITECTURES[legacy.architecture]
    if not described.gguf:
        raise ModelFileError(
            f"{source}: {legacy.architecture} cannot be repacked; the engine ctransformers runs it as it is"
        )
    blobs = [*_blobs(source, legacy), *make_blobs(described, legacy.hyper)]
    write(
        target,
        described,
        legacy.hyper,
        of_legacy(legacy, described),
        blobs,
        file_type=legacy.file_type,
        name=source.stem,
        progress=progress,
    )


def provide_gguf(source: Path, architecture: str | None = None, progress: OnProgress = silent) -> Path:
    """The GGUF file of a legacy file, from the cache, or made now: once, whoever else asks meanwhile.

    Raises ModelFileError as `repack` does, and where the cache cannot be written.
    """
    folder = catalogue.cache() / "repacked"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not catalogue.is_legacy(source):
            read_legacy(source, architecture)  # says what it is
        digest = checksums.digest(source)
        target = _place(folder, source, digest, architecture)
        if _is_made(target):
            return target
        with step("its file is being repacked") as repacking, closing(FileLock(folder / f"{target.name}.lock")) as lock:
            if not lock.wait(patience(source.stat().st_size)):
                raise ModelFileError(f"{source}: {lock.holder} repacks it, and may have been stopped in that")

            def show(done: int, total: int) -> None:
                repacking.done, repacking.total = done, total
                progress(done, total)

            if not _is_made(target):
                with write_whole(target) as part:
                    repack(source, part, architecture, show)
                checksums.vouch(target)
    except OSError as exc:
        raise ModelFileError(f"{source}: cannot be repacked into {folder}: {exc.strerror or exc}") from exc
    return target


def find_gguf(source: Path, architecture: str | None = None) -> Path | None:
    """The same, where it was made before; None else. Raises ModelFileError."""
    try:
        target = _place(catalogue.cache() / "repacked", source, checksums.digest(source), architecture)
        return target if _is_made(target) else None
    except OSError as exc:
        raise ModelFileError(f"{source}: cannot be read: {exc.strerror or exc}") from exc


def _place(folder: Path, source: Path, digest: str, architecture: str | None) -> Path:
    return folder / f"{source.stem}-{digest[:16]}-{architecture or 'auto'}-{_REVISION}.gguf"


def _is_made(target: Path) -> bool:
    return target.exists() and checksums.is_vouched(target)


def _blobs(source: Path, legacy: Legacy) -> Iterator[Blob]:
    tensors = {tensor.name: tensor for tensor in legacy.tensors}
    for weight in ARCHITECTURES[legacy.architecture].tensors(legacy.hyper.layers):
        tensor = tensors.get(weight.legacy)
        if tensor is None:
            continue
        nibbles = _is_old(source, legacy, tensor)
        shape = weight.extent(legacy.hyper.sizes)
        reading = _LegacyReading(source, tensor, legacy, weight.legacy_order, nibbles)
        yield Blob(weight.gguf, tensor.kind, shape, tensor.size, reading)


def _is_old(source: Path, legacy: Legacy, tensor: LegacyTensor) -> bool:
    """Whether its halves of bytes lie in the order of quantisation version 0. Raises ModelFileError for what has lost
    nothing only as it is: scales of 32 bits, which today's blocks have no room for."""
    if legacy.quantisation_version == 2 or tensor.kind not in _NAMES:
        return False
    if tensor.kind in (_Q5_0, _Q5_1):
        return legacy.quantisation_version == 0
    raise ModelFileError(
        f"{source}: {tensor.name!r} is {_NAMES[tensor.kind]} of the old quantisation version"
        f" {legacy.quantisation_version}, whose scales have 32 bits; today's have 16. Quantise the model anew"
    )


class _LegacyReading:
    """Reads one tensor, its rows in llama.cpp's order."""

    def __init__(self, source: Path, tensor: LegacyTensor, legacy: Legacy, order: Order | None, nibbles: bool) -> None:
        self._source, self._tensor, self._legacy = source, tensor, legacy
        self._order, self._nibbles = order, nibbles

    def __call__(self) -> Iterator[Rows]:
        """Where rows change places, all of them at once, else in pieces of whole blocks of every kind."""
        left = self._tensor.size
        step = left if self._order else _PIECE
        with open_regular(self._source) as file:
            file.seek(self._tensor.offset)
            while left:
                data: Rows = np.fromfile(file, np.uint8, min(step, left))
                if data.size < min(step, left):
                    raise ModelFileError(f"{self._source}: the file has become shorter while it was read")
                left -= data.size
                yield self._in_order(data)

    def _in_order(self, data: Rows) -> Rows:
        if self._nibbles:
            data = _halve(data, 22 if self._tensor.kind == _Q5_0 else 24)
        if self._order:
            order = self._order(self._legacy.hyper)
            data = data.reshape(len(order), -1)[order]
        return data


def _halve(data: Rows, width: int) -> Rows:
    """Blocks of 32 numbers in which a byte held neighbours, as blocks in which it holds numbers that are 16 apart."""
    blocks = data.reshape(-1, width).copy()
    pairs = blocks[:, -16:]
    numbers = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(-1, 32)
    blocks[:, -16:] = numbers[:, :16] | numbers[:, 16:] << 4
    return blocks
