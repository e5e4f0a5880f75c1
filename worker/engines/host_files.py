"""The files that an engine host has mapped. Who puts another file into the place of one leaves the host what it has;
but who writes into it changes the weights in mid-answer, and who cuts it off kills the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from worker.formats.identity import OtherFiles

_Stamp = tuple[tuple[int, int], int, int]
"""Which file it is, its bytes, and when it was written to last."""


class HostFiles:
    """Those of one host, in all its lives. `check` raises OtherFiles once they are not those any more that the worker
    tells of."""

    def __init__(self, paths: Iterable[str], check: Callable[[], None]) -> None:
        self._paths = [Path(path) for path in paths]
        self._check = check
        self._stamps: dict[Path, _Stamp] = {}
        self.spoiled = ""
        """What was done to them while the host had them; empty where nothing was."""

    def open(self) -> None:
        """A host is about to read them. Raises OtherFiles."""
        self.spoiled = ""
        self._stamps = _stamps(self._paths)
        self._check()

    def look(self) -> str:
        """See `spoiled`. To be asked now and then, and after the death of the host."""
        now = _stamps(self._stamps)
        same = [path for path, stamp in now.items() if stamp[0] == self._stamps[path][0]]
        written = [path.name for path in same if now[path] != self._stamps[path]]
        self._stamps = {path: now[path] for path in same}
        if written and not self.spoiled:
            try:
                self._check()
            except OtherFiles:
                self.spoiled = f"its file {' and '.join(written)} was changed in place while it was served"
        return self.spoiled


def _stamps(paths: Iterable[Path]) -> dict[Path, _Stamp]:
    found = {}
    for path in paths:
        with suppress(OSError):
            told = path.stat()
            found[path] = (told.st_dev, told.st_ino), told.st_size, told.st_mtime_ns
    return found
