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
from shared.regular_file import open_descriptor, open_regular
from shared.whole_file import settle

T = TypeVar("T")

_PIECE = 262_144
"""Bytes that are read at once."""
_PARTS = "parts/00"
_LISTED = 500
"""Files that are looked at at once."""


class FolderBlobs:
    """See `Blobs`. What is being written lies in a part of the folder of its own, and is a blob that nothing names.

    A folder that was there and is not is away, as an unmounted disk is: nobody knows then what is in it, and none is
    made in its place.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen = folder.is_dir()

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        # What raises before all of a small one is there leaves no folder, either.
        left, held, size = iter(pieces), list[bytes](), 0
        while size < _PIECE and (piece := next(left, None)) is not None:
            held.append(piece)
            size += len(piece)
        part, target = self.folder / _PARTS / secrets.token_hex(16), self.folder / name
        if size < _PIECE:
            _do(name, partial(self._write_at_once, part, target, held))
        else:
            self._write_on(name, part, chain(held, left))

    def _write_on(self, name: str, part: Path, pieces: Iterable[bytes]) -> None:
        file = _do(name, partial(self._begin, part))
        try:
            for piece in pieces:
                _do(name, partial(file.write, piece))
            _do(name, partial(self._finish, file, part, self.folder / name))
        except BaseException:
            _do(name, partial(_abandon, file, part))
            raise

    def _write_at_once(self, part: Path, target: Path, pieces: Iterable[bytes]) -> None:
        """Most blobs are small: to ask a thread costs more than the work."""
        file = self._begin(part)
        try:
            file.writelines(pieces)
            self._finish(file, part, target)
        except BaseException:
            _abandon(file, part)
            raise

    def _begin(self, part: Path) -> BufferedWriter:
        self._make(part.parent)
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        return BufferedWriter(FileIO(fd, "wb"), _PIECE)

    def _finish(self, file: BufferedWriter, part: Path, target: Path) -> None:
        file.close()
        self._make(target.parent)
        settle(part, target)

    def _make(self, folder: Path) -> None:
        make_private(folder, below=self.folder if self._seen else None)
        self._seen = True

    def read(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        left = None if end is None else end - start
        piece, file = self._look(name, partial(_open, name, start, left))
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
            return self._look(name, lambda folder: os.stat(name, dir_fd=folder).st_size)
        except NotStored:
            return None

    def remove(self, name: str) -> None:
        with suppress(NotStored):
            self._look(name, lambda folder: os.unlink(name, dir_fd=folder))

    def walk(self) -> Iterator[tuple[str, int, float]]:
        for kind in self._names(""):
            for shard in self._names(kind):
                files = _files(self.folder / kind / shard)
                while found := _do(shard, partial(_list, files)):
                    yield from ((f"{kind}/{shard}/{name}", size, written) for name, size, written in found)

    def _names(self, folder: str) -> list[str]:
        path = self.folder / folder
        try:
            return self._look(folder, lambda _: sorted(each.name for each in path.iterdir() if each.is_dir()))
        except NotStored:
            return []

    def _look(self, name: str, work: Callable[[int], T]) -> T:
        """With the folder's descriptor, in a thread: whoever puts it elsewhere meanwhile hides nothing that is in it.

        Raises ArchiveUnavailable, also where it is away, and NotStored where there is no such file in it.
        """

        def look() -> T:
            try:
                folder = open_descriptor(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError as exc:
                if self._seen:
                    raise ArchiveUnavailable(f"the blob {name}: {self.folder} is not there any more") from exc
                raise
            try:
                self._seen = True
                return work(folder)
            finally:
                os.close(folder)

        try:
            return apart(look)
        except FileNotFoundError as exc:
            raise NotStored(name) from exc
        except OSError as exc:
            raise _unavailable(name, exc) from exc


def _do(name: str, work: Callable[[], T]) -> T:
    """In a thread. Raises ArchiveUnavailable."""
    try:
        return apart(work)
    except OSError as exc:
        raise _unavailable(name, exc) from exc


def _unavailable(name: str, why: OSError) -> ArchiveUnavailable:
    return ArchiveUnavailable(f"the blob {name}: {why}")


def _open(name: str, start: int, wanted: int | None, folder: int) -> tuple[bytes, BinaryIO | None]:
    """The first piece, and what has the others; None where that is all that is wanted: most are read at one go."""
    file = open_regular(Path(name), folder)
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


def _abandon(file: BufferedWriter, part: Path) -> None:
    with suppress(OSError):  # a sweep finds it
        part.unlink()
    file.raw.close()  # what it has yet to write is not wanted


def _files(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Opened when the first one is asked for."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # it went meanwhile
                if entry.is_file(follow_symlinks=False):
                    told = entry.stat(follow_symlinks=False)
                    yield entry.name, told.st_size, told.st_mtime


def _list(files: Iterator[tuple[str, int, float]]) -> list[tuple[str, int, float]]:
    return list(islice(files, _LISTED))
