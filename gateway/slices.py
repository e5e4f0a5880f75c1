"""Time slices: how long one connection is served before all others are."""

from __future__ import annotations

import time

import gevent
from gevent.event import Event

LONGEST_SLICE = 0.005
"""Seconds of work for one connection, after which all others are served; one piece of work may go beyond."""


def give_way() -> None:
    """Have all others served of whom there is news, within a long work of one.

    `sleep(0)` would not do: the event loop looks for news only after it has come back to fifty who sleep so.
    """
    hub = gevent.get_hub()
    with hub.loop.timer(0.0) as timer:
        hub.wait(timer)


class RunQueue:
    """Where those wait who have used up their slice: between two of them all others are served, however many."""

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._last: Event | None = None

    @property
    def round(self) -> int:
        """Which round of the event loop this is: in each everybody of whom there is news is served."""
        number: int = self._hub.loop.iteration
        return number

    def wait(self) -> None:
        """Wait for a round that nobody else of those here has: first come, first served.

        A semaphore would let those pass who come while its place is handed on.
        """
        before, mine = self._last, Event()
        self._last = mine
        try:
            if before is not None:
                before.wait()
            give_way()
        finally:
            mine.set()
            if self._last is mine:
                self._last = None


class TimeSlice:
    """That of one connection."""

    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue
        self._round, self._begun = -1, 0.0
        self._asked = -1

    def rest(self) -> None:
        """Have all others served, if this one has used up its slice. Call it after each piece of work."""
        now, number = time.monotonic(), self._queue.round
        if number != self._round:  # the others had theirs
            self._round, self._begun = number, now
        elif now - self._begun >= LONGEST_SLICE:
            self._queue.wait()

    def ask(self) -> None:
        """A request begins. One a slice: who sends several at once has all others served in between."""
        if self._asked == self._queue.round:
            self._queue.wait()
        self._asked = self._queue.round
