"""What Valkey's append-only files were a moment ago: what a crashed machine comes back with."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

PACE = 0.2
"""Seconds between two marks."""
KEPT = 15
"""Marks that are kept."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The append-only files at one moment."""

    at: float
    """Whatever was written before is in it."""
    folder: Path
    """Hard links to the files."""
    sizes: dict[str, int]
    """The files' bytes. They only grow, so the first so many are what they were then."""


class Marks:
    """The marks of the last seconds."""

    def __init__(self, directory: Path) -> None:
        """`directory` is Valkey's."""
        self._live = directory / "appendonlydir"
        self._kept = directory / "marks"
        self._numbers = itertools.count()
        self._marks: deque[Mark] = deque()

    async def keep(self) -> None:
        """Make marks until cancelled."""
        while True:
            if mark := self._take():
                self._marks.append(mark)
            if len(self._marks) > KEPT:
                shutil.rmtree(self._marks.popleft().folder)
            await asyncio.sleep(PACE)

    def older(self, seconds: float) -> Mark | None:
        """The newest that is at least so old."""
        return next((mark for mark in reversed(self._marks) if time.monotonic() - mark.at >= seconds), None)

    def put_back(self, mark: Mark) -> None:
        """Make the files what they were then; Valkey must not run. Ends all marks."""
        shutil.rmtree(self._live)
        mark.folder.rename(self._live)
        for name, size in mark.sizes.items():
            file = self._live / name
            os.truncate(file, min(size, file.stat().st_size))  # Valkey cuts half a command off when it starts
        self._marks.clear()
        shutil.rmtree(self._kept)

    def _take(self) -> Mark | None:
        """None while Valkey replaces its files."""
        at, folder = time.monotonic(), self._kept / str(next(self._numbers))
        folder.mkdir(parents=True)
        try:
            manifest = self._link("appendonly.aof.manifest", folder)
            # Each line: file NAME seq NUMBER type TYPE
            files = [self._link(line.split()[1], folder) for line in manifest.read_text().splitlines()]
            sizes = {file.name: file.stat().st_size for file in files}
            if manifest.samefile(self._live / manifest.name):
                return Mark(at, folder, sizes)
        except FileNotFoundError:
            pass
        shutil.rmtree(folder)
        return None

    def _link(self, name: str, folder: Path) -> Path:
        (folder / name).hardlink_to(self._live / name)
        return folder / name
