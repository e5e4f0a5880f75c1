"""Prepares weights for this CPU: finds out what pays, and writes it once, whoever else asks meanwhile."""

from __future__ import annotations

import errno
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from shared import checksums, folders, memory
from shared.errors import InferqError
from shared.file_lock import FileLock, patience
from shared.passing import is_passing
from shared.progress import step
from shared.whole_file import write_whole
from worker.formats import prepared
from worker.formats.ggml import BLOCKS, FILE_TYPES
from worker.formats.gguf import Tensor, read_header, read_model
from worker.formats.gguf_parts import with_parts
from worker.formats.pooling import find_pooling
from worker.formats.prepared import SLOW, WANTED, Measurement

log = logging.getLogger("inferq.models")

Compare = Callable[[Mapping[int, Sequence[tuple[int, int]]], int, int], dict[int, list[float]]]
"""See `trial.compare`."""
FREE = 1 << 30
"""Bytes that a disk keeps free."""
_MEMORY = 1.25
"""Of the prepared file's size: what else a model takes is the same, whatever its weights."""
_TRIAL = 96 << 20, 640 << 20
"""Bytes that the measuring takes beside three times the file, and at most."""
_FILE_TYPE = 7
_FLAT = 64
"""Columns for each row: what has more is no layer's, and to measure it takes far more memory than its file."""
_LOOKED_UP = ("token_embd.weight", "position_embd.weight", "token_types.weight", "per_layer_token_embd.weight")
"""Tensors of which rows are taken, which is as fast in any type."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What is served of a model's file."""

    path: Path
    original: str = ""
    """What most weights of the model's own file are, where `path` is a prepared one."""
    why: str = ""
    """Why it is this file; empty where there was nothing to choose."""


def prepare(
    path: Path, threads: int = 0, *, anew: bool = False, beside: int = 0, compare: Compare | None = None
) -> Weights:
    """The weights to serve of a GGUF file, which is given back as it is where others do not pay, or cannot be made.

    The first time takes a while: see `shared.progress`. With `anew`, what did not pay is tried again. The memory has to
    have room for so many bytes `beside` it, of other models. Raises ModelFileError for a file that is damaged.
    """
    header, parts = with_parts(path, read_model(path))
    found = _slow(header.tensors, header.architecture, header.metadata)
    try:
        if not found:
            if prepared.folder().is_dir():
                with closing(_lock()) as lock:
                    if lock.take():  # else whoever has it will see to that
                        prepared.sweep(path)
            return Weights(path)
        size = sum(part.stat().st_size for part in parts)
        if fault := _no_room(size + _growth(found, found), memory.total() - beside):
            return Weights(path, why=fault)
        with closing(_lock()) as lock:  # before a large file is read for nothing
            digest = prepared.identify(path)
            known = prepared.read(digest)
            if known and known.kinds and _is_whole(made := prepared.file_of(known, path.stem)):
                return _served(path, made, known)
            if known and not known.kinds and not anew:
                return Weights(path, why=known.why)
            if not lock.wait(patience(size)):
                return Weights(path, why=f"{lock.holder} prepares weights, and may have been stopped in that")
            return _make(path, size, found, digest, threads, beside, compare, anew=anew)
    except OSError as exc:
        if exc.errno != errno.EPERM and (there := prepared.find(path)) and there[1] and _is_whole(there[1]):
            return _served(path, there[1], there[0])  # of a cache that can be read alone
        return Weights(path, why=f"others cannot be kept: {exc}")


def is_prepared(path: Path) -> bool:
    """Whether `prepare` has nothing left to find out, or to write. Raises ModelFileError."""
    header, _ = with_parts(path, read_model(path))
    if not _slow(header.tensors, header.architecture, header.metadata):
        return True
    known = prepared.find(path)
    return known is not None and (known[1] is not None or not known[0].kinds)


def _make(
    path: Path,
    size: int,
    found: Mapping[int, Sequence[Tensor]],
    digest: str,
    threads: int,
    beside: int,
    compare: Compare | None,
    *,
    anew: bool,
) -> Weights:
    """Under the lock: another process may have been quicker. Raises OSError."""
    known = prepared.read(digest)
    if known is None or (anew and not known.kinds):
        needs, there = min(_TRIAL[0] + 3 * size, _TRIAL[1]), memory.available() - beside
        if there < needs:  # another time it may be tried
            lacks = f"to measure takes {needs / 1e6:.0f} MB, and there are {max(0, there) / 1e6:.0f} MB of memory"
            return Weights(path, why=lacks)
        sources = known.sources if known else ()
        try:
            with step("it is being tried which weights are faster here"):
                shapes = {kind: [(t.shape[0], t.shape[1]) for t in tensors] for kind, tensors in found.items()}
                speeds = (compare or _compare)(shapes, WANTED, threads)
            known = Measurement(digest, sources, {kind: tuple(speed) for kind, speed in speeds.items()})
        except InferqError as exc:
            if is_passing(exc):  # another time it may be tried
                return Weights(path, why=str(exc))
            log.warning("%s: %s", path.name, exc)
            known = Measurement(digest, sources, {}, failed=str(exc))
    if str(path.absolute()) not in known.sources:
        known = replace(known, sources=(*known.sources, str(path.absolute())))
    prepared.keep(known)
    prepared.sweep(path, digest)
    if not known.kinds:
        return Weights(path, why=known.why)
    made = prepared.file_of(known, path.stem)
    if not _is_whole(made):
        changed = {tensor.name for kind in known.kinds for tensor in found[kind]}
        if fault := _no_room(
            size + _growth(found, known.kinds), memory.available() - beside, shutil.disk_usage(prepared.folder()).free
        ):
            return Weights(path, why=fault)
        try:
            _write(path, made, changed)
        except InferqError as exc:
            return Weights(path, why=str(exc))
        checksums.vouch(made)
    return _served(path, made, known)


def _compare(shapes: Mapping[int, Sequence[tuple[int, int]]], wanted: int, threads: int) -> dict[int, list[float]]:
    from worker.formats import trial  # with numpy, which takes a while to import

    return trial.compare(shapes, wanted, threads)


def _write(path: Path, target: Path, changed: set[str]) -> None:
    from worker.formats.rewrite import Recast, rewrite  # with numpy

    first = read_header(path)
    header, parts = with_parts(path, first)
    work = []
    for part in parts:
        own = read_header(part)
        for tensor in own.tensors:
            kind = WANTED if tensor.name in changed else tensor.kind
            work.append(Recast(part, own.data_offset + tensor.offset, tensor, kind))
    weights = {True: 0, False: 0}
    for tensor in header.tensors:
        weights[tensor.name in changed] += math.prod(tensor.shape)
    told = header.metadata.get("general.file_type")
    file_type = told if isinstance(told, int) and weights[False] > weights[True] else _FILE_TYPE
    with step("its weights are being prepared for this CPU") as preparing, write_whole(target) as partial:

        def show(done: int, total: int) -> None:
            preparing.done, preparing.total = done, total

        rewrite(path, first, work, partial, file_type, show, without="split.")
        times = path.stat()
        os.utime(partial, ns=(times.st_atime_ns, times.st_mtime_ns))  # the model is as old as it was


def _slow(tensors: Sequence[Tensor], architecture: str, metadata: Mapping[str, object]) -> dict[int, list[Tensor]]:
    """The matrices of types that have no fast kernels, by type."""
    names = {tensor.name for tensor in tensors}
    tied = "output.weight" not in names and not find_pooling(architecture, metadata, names)
    found: dict[int, list[Tensor]] = {}
    for tensor in tensors:
        used = tensor.name not in _LOOKED_UP or (tied and tensor.name == _LOOKED_UP[0])
        layer = len(tensor.shape) == 2 and tensor.shape[0] <= _FLAT * tensor.shape[1]
        if tensor.kind in SLOW and layer and used:
            found.setdefault(tensor.kind, []).append(tensor)
    return found


def _growth(found: Mapping[int, Sequence[Tensor]], kinds: Iterable[int]) -> int:
    """Bytes that the prepared tensors of these types have more."""
    block, width = BLOCKS[WANTED]
    return sum(math.prod(tensor.shape) // block * width - tensor.size for kind in kinds for tensor in found[kind])


def _no_room(size: int, room: int, free: int | None = None) -> str:
    """Why a prepared file of so many bytes cannot be; empty where it can."""
    if room < size * _MEMORY:
        return f"faster weights would take {size / 1e6:.0f} MB, and there are {max(0, room) / 1e6:.0f} MB of memory"
    if free is not None and free < size + FREE:
        return f"faster weights would take {size / 1e6:.0f} MB, and the disk of the cache has {free / 1e6:.0f} MB free"
    return ""


def _is_whole(made: Path) -> bool:
    return made.is_file() and checksums.is_vouched(made)


def _served(path: Path, made: Path, known: Measurement) -> Weights:
    told = read_header(path).metadata.get("general.file_type")
    original = FILE_TYPES.get(told, known.names) if isinstance(told, int) else known.names
    return Weights(made, original, str(known))


def _lock() -> FileLock:
    """One at a time on a machine: they would take memory from each other, and measure each other. Raises OSError, also
    where others might have put weights there."""
    folders.make_private(prepared.folder())
    folders.check_ours(prepared.folder())
    waiting = "waiting for another process that prepares weights in %s"
    return FileLock(prepared.folder() / "prepare.lock", lambda: log.info(waiting, prepared.folder()))
