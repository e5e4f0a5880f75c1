"""A mailbox: where the events of one job arrive in this process, in order, each once.

They may come from several executions, and a Redis that has lost its last second has later events take the numbers of
lost ones. So a piece of text is placed by where it belongs in its choice, and where it overlaps with what is there,
both must agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gevent.queue import Empty, SimpleQueue
from msgspec.structs import replace

from shared.errors import InferqError, JobCancelled
from shared.protocol import Delta, Done, Event, Failed, Progress, StartOver
from shared.ticket import Sighting


class ClientGone(Exception):
    """The client closed its connection."""


class Conflict(Exception):
    """What arrives is not how the answer goes on that has arrived before."""


class Place(NamedTuple):
    """Which event of a job it is."""

    number: int
    by: str
    """The execution that wrote it."""


NOWHERE = Place(0, "")


class _Text:
    """What has arrived of one choice."""

    def __init__(self) -> None:
        self.length = 0
        self.ended = False
        self._pieces: list[str] = []

    def add(self, text: str) -> None:
        self._pieces.append(text)
        self.length += len(text)

    def agrees(self, offset: int, text: str) -> bool:
        """Whether this is what stands there, as far as it reaches."""
        self._pieces = ["".join(self._pieces)]
        there = self._pieces[0][offset : offset + len(text)]
        return text.startswith(there)


class Mailbox:
    """The events of one job, for one client."""

    def __init__(self, job_id: str, *, visitor: str = "", parts: bool = False) -> None:
        self.job_id = job_id
        self.visitor = visitor
        """Whose client waits, by the id with which its request came; empty for somebody who only follows the job."""
        self.parts = parts
        """The client reads the answer as it comes: nothing of it can be taken back."""
        self.exact = False
        """The client is told the ids of tokens, which cannot be cut where a piece overlaps with another."""
        self.arrived_at = NOWHERE
        """The last event that has arrived."""
        self.place = NOWHERE
        """The last event that was taken."""
        self.last: Done | Failed | None = None
        """The last event, once it has been taken."""
        self.opened = time.monotonic()
        self.arrived: tuple[float, float] | None = None
        """When the first and the last piece of text arrived."""
        self.ended = False
        """The last event has arrived."""
        self.restarts = 0
        """How often the answer began anew because the record did not agree with what had arrived."""
        self.closed = False
        # For those who compare it with the ticket, see reconcile.py:
        self.heard = 0.0
        """When something arrived, or was seen to agree with the ticket (monotonic)."""
        self.seen = 0.0
        """When Redis was last known to have the job (monotonic); 0 until it is accepted."""
        self.restore: Callable[[], object] | None = None
        """What to do when Redis has lost the job, which was accepted."""
        self.doubted: Failed | None = None
        """An end that may not be one: the job was cancelled although its client waits. Either somebody else asked for
        that, or Redis had forgotten who waits."""
        self.farewell: Callable[[], None] | None = None
        """What to say to Redis now that the client has left."""
        self._texts: dict[int, _Text] = {}
        self._queue: SimpleQueue = SimpleQueue()

    @property
    def sighting(self) -> Sighting:
        return Sighting(self.job_id, *self.arrived_at, self.visitor, self.parts)

    def accept(self, restore: Callable[[], object]) -> None:
        """The job is in Redis now."""
        self.restore = restore
        self.seen = self.heard = time.monotonic()

    def has(self, last: int, by: str) -> bool:
        """Whether events up to this one have arrived."""
        return self.ended or (by == self.arrived_at.by and last <= self.arrived_at.number)

    def follows(self, first: int, by: str) -> bool:
        """Whether events that begin with this one go on where the last ones ended.

        Another execution's may not, whatever their number: it may have gone on from something else.
        """
        return first <= self.arrived_at.number + 1 and self.arrived_at in (NOWHERE, (self.arrived_at.number, by))

    def put(self, first: int, by: str, events: Sequence[Event | None]) -> None:
        """Take in events numbered from `first`. Raises Conflict."""
        for number, event in enumerate(events, first):
            place = Place(number, by)
            if self.has(*place):
                continue
            new = self._new(event)
            self.arrived_at, self.heard = place, time.monotonic()
            if new is not None:
                self._queue.put((place, new))

    def realign(self) -> None:
        """The record is read from its beginning again: what has arrived is passed over as far as it agrees."""
        if self.exact and self._texts:
            raise Conflict
        self.arrived_at = NOWHERE

    def start_over(self) -> None:
        """The answer begins anew, and nobody has read a part of it."""
        self.restarts += 1
        self._texts.clear()
        self.arrived_at = NOWHERE
        self._queue.put((NOWHERE, StartOver()))

    def fail(self, error: InferqError) -> None:
        """Tell the client that nothing more will come."""
        if not self.ended:
            self.ended = True
            self._queue.put((self.arrived_at, Failed(error.code, error.message, error.param)))

    def leave(self) -> None:
        """The client is gone: whoever takes the next event learns it."""
        self._queue.put((NOWHERE, ClientGone()))

    def take(self, timeout: float | None) -> Event | None:
        """The next event; None when none came within `timeout` seconds. Raises ClientGone."""
        try:
            place, event = self._queue.get(timeout=timeout)
        except Empty:
            return None
        if isinstance(event, ClientGone):
            raise ClientGone  # not this one, which would hold this frame, and the frame would hold it
        taken: Event = event
        self.place = place
        if isinstance(taken, Done | Failed):
            self.last = taken
        return taken

    def empty(self) -> bool:
        return bool(self._queue.empty())

    def _new(self, event: Event | None) -> Event | None:
        """What of an event the client does not have yet. Raises Conflict."""
        match event:
            case Delta():
                return self._placed(event)
            case StartOver() if self.parts:
                return None  # what comes will show whether it is the same
            case StartOver():
                self._texts.clear()
            case Progress() if self._texts:
                return None
            case Failed(code=JobCancelled.code) if self.visitor and self.seen:
                self.doubted = event
                return None
            case Done() | Failed():
                self.ended = True
        return event

    def _placed(self, delta: Delta) -> Delta | None:
        """What of a piece has not arrived yet."""
        text = self._texts.setdefault(delta.index, _Text())
        known = min(text.length - delta.offset, len(delta.text))
        if known < 0 or (known and not text.agrees(delta.offset, delta.text)):
            raise Conflict
        rest = delta.text[known:]
        if delta.finish_reason and delta.offset + len(delta.text) < text.length:
            raise Conflict  # it ends before what has arrived
        if text.ended or not (rest or delta.finish_reason or not delta.text):
            if rest:
                raise Conflict
            return None
        text.add(rest)
        text.ended = delta.finish_reason is not None
        now = time.monotonic()
        self.arrived = (self.arrived[0] if self.arrived else now, now)
        return replace(delta, text=rest, tokens=(), offset=text.length - len(rest)) if known else delta
