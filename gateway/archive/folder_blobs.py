"""Blobs as files of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from gateway.archive.threads import apart
from shared.errors import ArchiveUnavailable, NotStored
from shared.whole_file import write_whole

_PIECE = 262_144
"""Bytes that are read at once."""


class FolderBlobs:
    """See `Blobs`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, pieces: Iterable[bytes]) -> int:
        path, size = self._folder / name, 0
        try:
            apart(lambda: path.parent.mkdir(mode=0o700, parents=True, exist_ok=True))
            with write_whole(path, mode=0o600) as part, part.open("wb") as file:
                for piece in pieces:
                    size += apart(partial(file.write, piece))
        except OSError as exc:
            raise ArchiveUnavailable(f"{name} cannot be written: {exc}") from exc
        return size

    def read(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        try:
            with (self._folder / name).open("rb") as file:
                file.seek(start)
                left = None if end is None else end - start
                while piece := apart(partial(file.read, _PIECE if left is None else min(_PIECE, left))):
                    left = None if left is None else left - len(piece)
                    yield piece
        except FileNotFoundError as exc:
            raise NotStored(name) from exc
        except OSError as exc:
            raise ArchiveUnavailable(f"{name} cannot be read: {exc}") from exc

    def remove(self, name: str) -> None:
        try:
            apart(lambda: (self._folder / name).unlink(missing_ok=True))
        except OSError as exc:
            raise ArchiveUnavailable(f"{name} cannot be removed: {exc}") from exc

    def walk(self) -> Iterator[tuple[str, int, float]]:
        for path in sorted(self._folder.glob("*/*/*")):
            if not path.name.startswith("."):
                told = path.stat()
                yield str(path.relative_to(self._folder)), told.st_size, told.st_mtime
