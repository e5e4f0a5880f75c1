"""Turns: how long one connection is served before all others are."""

from __future__ import annotations

import time

import gevent
from gevent.lock import Semaphore

LONGEST_TURN = 0.005
"""Seconds of work for one connection, after which all others have their turn; one piece of work may go beyond."""


class Line:
    """Where those wait who have used up their turn: between two of them all others are served, however many they are.

    `gevent.sleep(0)` would not do: the event loop looks for news only after it has come back to fifty who sleep so.
    """

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._place = Semaphore(1)

    @property
    def round(self) -> int:
        """Which round of the event loop this is: in each everybody of whom there is news is served."""
        number: int = self._hub.loop.iteration
        return number

    def wait(self) -> None:
        """Wait for a round that nobody else of this line has."""
        with self._place, self._hub.loop.timer(0.0) as timer:
            self._hub.wait(timer)


class Turn:
    """That of one connection."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._round, self._begun = -1, 0.0
        self._asked = -1

    def rest(self) -> None:
        """Let all others have their turn, if this one has used up its own. Call it after each piece of work."""
        now, number = time.monotonic(), self._line.round
        if number != self._round:  # the others had theirs
            self._round, self._begun = number, now
        elif now - self._begun >= LONGEST_TURN:
            self._line.wait()

    def ask(self) -> None:
        """A request begins. One a turn: who sends several at once has all others served in between."""
        if self._asked == self._line.round:
            self._line.wait()
        self._asked = self._line.round
