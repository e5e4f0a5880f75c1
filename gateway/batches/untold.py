"""What has ended of a batch and is not written down yet: for a second or so, within bounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gateway.batches.batch import BatchError
from gateway.batches.ending import LineEnd
from gateway.batches.ledger import BatchLedger
from gateway.batches.numbers import BatchNumbers
from shared.errors import ArchiveFull

MOST_UNTOLD = 256
"""Lines of a batch that have ended before they are written down."""
MOST_UNTOLD_BYTES = 1_048_576
"""The same in bytes of what is told of them, and one line more."""
LONGEST_UNTOLD = 30.0
"""Seconds after which they are. At first it is one second, and a batch that takes long has few entries all the same."""
_PART = 300
"""Of the time since a batch was begun: what has ended is written down once in this part of it."""
FULL_PATIENCE = 60.0
"""Seconds for which results wait for room, before their batch fails."""


class Broken(Exception):
    """The batch cannot go on."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.error = BatchError(code, message)


class UntoldLines:
    """Of one batch, by who feeds it."""

    def __init__(self, ledger: BatchLedger, numbers: BatchNumbers) -> None:
        self._ledger = ledger
        self._numbers = numbers
        self._ends = list[LineEnd]()
        self._size = 0
        self._since = 0.0
        """When the first of them was there."""

    def note(self, ends: Sequence[LineEnd]) -> None:
        """These have ended."""
        if ends and not self._ends:
            self._since = time.monotonic()
        self._ends += ends
        self._size += sum(len(end.text) for end in ends)

    def due(self, begun: float) -> bool:
        """Whether it is time to write them down; `begun` is when the batch was, in Unix time."""
        age = min(LONGEST_UNTOLD, max(1.0, (time.time() - begun) / _PART))
        many = len(self._ends) >= MOST_UNTOLD or self._size >= MOST_UNTOLD_BYTES
        return bool(self._ends) and (many or time.monotonic() - self._since >= age)

    def write(self) -> list[LineEnd]:
        """Write them down: those that are from now on, each by whomever. Raises Broken, ArchiveUnavailable."""
        with_room(self._write)
        ends, self._ends, self._size = self._ends, [], 0
        return ends

    def _write(self) -> None:
        while new := [end for end in self._ends if end.number not in self._ledger.told]:
            if self._ledger.add(new):
                completed = sum(end.well for end in new)
                self._numbers.count(completed=completed, failed=len(new) - completed)
                return


def with_room(work: Callable[[], None], patience: float = FULL_PATIENCE) -> None:
    """Do what needs room in the archive, for which it waits so many seconds. Raises Broken."""
    end = time.monotonic() + patience
    while True:
        try:
            return work()
        except ArchiveFull as exc:
            if time.monotonic() >= end:
                raise Broken(exc.code, exc.message) from exc
        time.sleep(1)
