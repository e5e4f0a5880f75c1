"""The heap: what was freed goes back to the system.

glibc keeps freed memory for later, as much as was ever needed at one time: a process that has once answered a flood
would look as if it still did.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

from shared import footprint
from shared.loops import Loops

_PERIOD = 5.0
"""Seconds between two looks."""
_GROWN = 16_777_216
"""Bytes beyond the least that was ever left that make a trimming worth its milliseconds."""


def _resident() -> int:
    return footprint.resident(os.getpid())


class Heap:
    """This process's, trimmed now and then where it has grown. Elsewhere than on Linux with glibc nothing is done."""

    def __init__(self) -> None:
        self._least = 0
        self._trim = None
        with suppress(OSError, AttributeError):  # another libc
            if _resident():
                self._trim = ctypes.CDLL(None).malloc_trim

    def start(self, loops: Loops) -> None:
        loops.start("heap", self.look, pause=_PERIOD)

    def look(self) -> None:
        if self._trim is not None and _resident() > self._least + _GROWN:
            self._trim(0)
            self._least = min(self._least or _resident(), _resident())
