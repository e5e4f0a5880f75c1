"""Rows: of each owner some requests are worked on at a time, and the others wait, so that a flood waits for itself."""

from __future__ import annotations

from collections import deque
from weakref import WeakValueDictionary

from gevent.event import Event

from gateway.slices import RunQueue, TimeSlice

MOST_KEY_REQUESTS = 8
"""Requests of an API key, or of a peer where there are none, that are worked on at a time."""


class Row:
    """That of one owner: first come, first served."""

    def __init__(self, queue: RunQueue) -> None:
        self._slice = TimeSlice(queue)
        self._working = 0
        self._waiting: deque[Event] = deque()

    def enter(self) -> None:
        """Wait for a place. End with `leave`."""
        self._slice.rest()  # many who never wait for anything would make a round of the event loop as long
        if self._working < MOST_KEY_REQUESTS:
            self._working += 1
            return
        turn = Event()
        self._waiting.append(turn)
        try:
            turn.wait()
        except BaseException:
            if turn.is_set():
                self.leave()
            else:
                self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        """Give the place to the next."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._working -= 1


class OwnerRows:
    """Those of a process."""

    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue
        self._rows: WeakValueDictionary[str, Row] = WeakValueDictionary()
        """Whoever is in one, or was on a connection that is open, holds it."""

    def of(self, owner: str) -> Row:
        """The row of an owner."""
        row = self._rows.get(owner)
        if row is None:
            row = self._rows[owner] = Row(self._queue)
        return row
