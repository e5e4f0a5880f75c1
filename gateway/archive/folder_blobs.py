"""Blobs as files of a folder, which several machines may share."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from io import BufferedWriter, FileIO
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, TypeVar

from gateway.archive.threads import apart
from shared.errors import ArchiveUnavailable, NotStored
from shared.folders import make_private
from shared.regular_file import open_regular
from shared.whole_file import settle

T = TypeVar("T")

_PIECE = 262_144
"""Bytes that are read at once."""
_PARTS = "parts/00"
_LISTED = 500
"""Files that are looked at at once."""


class FolderBlobs:
    """See `Blobs`. What is being written lies in a part of the folder of its own, and is a blob that nothing names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        # What raises before all of a small one is there leaves no folder, either.
        left, held, size = iter(pieces), list[bytes](), 0
        while size < _PIECE and (piece := next(left, None)) is not None:
            held.append(piece)
            size += len(piece)
        part, target = self.folder / _PARTS / secrets.token_hex(16), self.folder / name
        if size < _PIECE:
            _do(name, partial(_write_at_once, part, target, held))
        else:
            self._write_on(name, part, chain(held, left))

    def _write_on(self, name: str, part: Path, pieces: Iterable[bytes]) -> None:
        file = _do(name, partial(_begin, part))
        try:
            for piece in pieces:
                _do(name, partial(file.write, piece))
            _do(name, partial(_finish, file, part, self.folder / name))
        except BaseException:
            _do(name, partial(_abandon, file, part))
            raise

    def read(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        left = None if end is None else end - start
        piece, file = _do(name, partial(_open, self.folder / name, start, left))
        if file is None:
            yield piece
            return
        try:
            while piece:
                left = None if left is None else left - len(piece)
                yield piece
                piece = _do(name, partial(file.read, _PIECE if left is None else min(_PIECE, left)))
        finally:
            file.close()  # nothing is to be written: it does not wait

    def size(self, name: str) -> int | None:
        try:
            return _do(name, lambda: (self.folder / name).stat().st_size)
        except NotStored:
            return None

    def remove(self, name: str) -> None:
        _do(name, lambda: (self.folder / name).unlink(missing_ok=True))

    def walk(self) -> Iterator[tuple[str, int, float]]:
        for kind in self._names(""):
            for shard in self._names(kind):
                files = _files(self.folder / kind / shard)
                while found := _do(shard, partial(_look, files)):
                    yield from ((f"{kind}/{shard}/{name}", size, written) for name, size, written in found)

    def _names(self, folder: str) -> list[str]:
        try:
            return _do(folder, lambda: sorted(path.name for path in (self.folder / folder).iterdir() if path.is_dir()))
        except NotStored:
            return []


def _do(name: str, work: Callable[[], T]) -> T:
    """In a thread. Raises ArchiveUnavailable, and NotStored where there is no such file."""
    try:
        return apart(work)
    except FileNotFoundError as exc:
        raise NotStored(name) from exc
    except OSError as exc:
        raise ArchiveUnavailable(f"the blob {name}: {exc}") from exc


def _open(path: Path, start: int, wanted: int | None) -> tuple[bytes, BinaryIO | None]:
    """The first piece, and what has the others; None where that is all that is wanted: most are read at one go."""
    file = open_regular(path)
    try:
        file.seek(start)
        piece = file.read(_PIECE if wanted is None else min(_PIECE, wanted))
        whole = len(piece) == wanted
    except BaseException:
        file.close()
        raise
    if whole:
        file.close()
    return piece, None if whole else file


def _write_at_once(part: Path, target: Path, pieces: Iterable[bytes]) -> None:
    """Most blobs are small: to ask a thread costs more than the work."""
    file = _begin(part)
    try:
        file.writelines(pieces)
        _finish(file, part, target)
    except BaseException:
        _abandon(file, part)
        raise


def _begin(part: Path) -> BufferedWriter:
    make_private(part.parent)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return BufferedWriter(FileIO(fd, "wb"), _PIECE)


def _finish(file: BufferedWriter, part: Path, target: Path) -> None:
    file.close()
    make_private(target.parent)
    settle(part, target)


def _abandon(file: BufferedWriter, part: Path) -> None:
    part.unlink(missing_ok=True)
    file.raw.close()  # what it has yet to write is not wanted


def _files(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Opened when the first one is asked for."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # it went meanwhile
                if entry.is_file(follow_symlinks=False):
                    told = entry.stat(follow_symlinks=False)
                    yield entry.name, told.st_size, told.st_mtime


def _look(files: Iterator[tuple[str, int, float]]) -> list[tuple[str, int, float]]:
    return list(islice(files, _LISTED))
