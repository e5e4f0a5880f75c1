"""How much the snapshots of a machine may take, and who makes room for more."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SPARED = 20
"""One part in so many of a disk is left free."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int
    used: float
    """Unix time of its last use."""


@dataclass(frozen=True, slots=True)
class SnapshotBounds:
    """Of a folder with a folder for each key. A snapshot goes so many seconds after its last use."""

    folder: Path
    most: int
    """Bytes."""
    seconds: float

    def make_room(self, place: Path, size: int) -> bool:
        """Remove snapshots until this folder of a key can have so many bytes more; False where it cannot.

        Whoever holds most has to give, and what was used longest ago goes first: so nobody's push out all of another's.
        """
        self.sweep()
        entries = list(self._entries())
        disk = shutil.disk_usage(self.folder)
        while (over := self._over(entries, size, disk.free, disk.total)) > 0:
            held = {place: size}
            for entry in entries:
                held[entry.path.parent] = held.get(entry.path.parent, 0) + entry.size
            most = max(held, key=lambda each: (held[each], each == place))
            theirs = [entry for entry in entries if entry.path.parent == most]
            if not theirs or over > sum(entry.size for entry in entries):
                return False
            oldest = min(theirs, key=lambda entry: entry.used)
            with suppress(OSError):
                oldest.path.unlink()
            entries.remove(oldest)
            disk = disk._replace(free=disk.free + oldest.size)
        return True

    def defer(self, path: Path) -> None:
        """Let it count as if it had not been used for half of the time that it may have."""
        with suppress(OSError):
            os.utime(path, (at := time.time() - self.seconds / 2, at))

    def sweep(self) -> None:
        """Remove what was not used for so long; also what its maker has begun, and was not heard of since."""
        for entry in self._entries(parts=True):
            if time.time() - entry.used > self.seconds:
                with suppress(OSError):
                    entry.path.unlink()

    def _over(self, entries: list[_File], size: int, free: int, disk: int) -> int:
        held = sum(entry.size for entry in entries)
        return max(held + size - self.most, disk // SPARED + size - free)

    def _entries(self, *, parts: bool = False) -> Iterator[_File]:
        for place in list(self.folder.iterdir()):
            if not place.is_dir():
                continue
            for path in list(place.iterdir()):
                with suppress(OSError):
                    if parts or path.suffix != ".part":
                        told = path.lstat()
                        yield _File(path, told.st_size, told.st_mtime)
