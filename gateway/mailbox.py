"""A mailbox: where the events of one job arrive in this process, in order, each once.

They may come from several executions, and a Redis that has lost its last second has later events take the numbers of
lost ones. So a piece is placed by where it belongs in its choice, and what comes again must agree with what has come
before, of which only a digest is kept: see `agreement.py`.

A client that reads slowly costs no more than `LARGEST_MAILBOX`: what comes while the mailbox is full is passed over,
and read from the job's record once there is room.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gevent.queue import Empty, SimpleQueue
from redis import Redis

from gateway.agreement import ArrivedChoice, Conflict
from gateway.event_size import size
from shared.errors import InferqError, JobCancelled
from shared.protocol import Delta, Done, Event, Failed, Progress, StartOver
from shared.ticket import Sighting

LARGEST_MAILBOX = 262_144
"""Bytes of memory, about, that events may take until they are taken out. What comes at one time may go beyond it."""
_FEW = 8
"""Events at one time that are told one by one. To wake who waits, and send more in one piece, costs less."""

Farewell = Callable[[Redis], object]
"""Says something in a pipeline."""


class ClientGone(Exception):
    """The client closed its connection."""


class Place(NamedTuple):
    """Which event of a job it is."""

    number: int
    by: str
    """The execution that wrote it."""


NOWHERE = Place(0, "")


class Mailbox:
    """The events of one job, for one client."""

    def __init__(self, job_id: str, *, visitor: str = "", parts: bool = False) -> None:
        self.job_id = job_id
        self.visitor = visitor
        """Whose client waits, by the id with which its request came; empty for somebody who only follows the job."""
        self.parts = parts
        """The client reads the answer as it comes: nothing of it can be taken back."""
        self.model = ""
        """Of the job, while its client waits for a status line: until then it may be told that it is not accepted."""
        self.exact = False
        """The client is told of tokens, which cannot be cut where a piece overlaps with another, or of the prompt."""
        self.arrived_at = NOWHERE
        """The last event that has arrived."""
        self.place = NOWHERE
        """The last event that was taken."""
        self.behind = False
        """What came while it was full was passed over."""
        self.refill: Callable[[Mailbox], None] = lambda box: None
        """What to do when there is room again for what was passed over."""
        self.at_end: Callable[[], object] = lambda: None
        """What to do before the last event is taken."""
        self.stored: Sequence[Event] = ()
        """All events of a job that Redis has lost, where its answer is stored: they are told instead of its record."""
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
        self.over = False
        """The job had ended when it was last compared: its record does not grow, and is forgotten some day."""
        self.restore: Callable[[], object] | None = None
        """What to do when Redis has lost the job, which was accepted; None where its request is not known here."""
        self.doubted: Failed | None = None
        """An end that may not be one: the job was cancelled although its client waits. Either somebody else asked for
        that, or Redis had forgotten who waits."""
        self.farewell: Farewell | None = None
        """What to say to Redis now that the client has left."""
        self.tell: Callable[[Delta], bool] | None = None
        """Tells the client a piece without waking who waits for it; False where he is to be woken after all."""
        self._waited_for = False
        """Somebody waits for what comes next."""
        self._choices: dict[int, ArrivedChoice] = {}
        self._queue: SimpleQueue = SimpleQueue()
        self._held = 0
        """Bytes that the events in the queue take, about."""

    @property
    def sighting(self) -> Sighting:
        return Sighting(self.job_id, *self.arrived_at, self.visitor, self.parts)

    @property
    def full(self) -> bool:
        return self._held >= LARGEST_MAILBOX

    def accept(self, restore: Callable[[], object] | None) -> None:
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
        self._waited_for = self._waited_for and len(events) <= _FEW
        for number, event in enumerate(events, first):
            place = Place(number, by)
            if self.has(*place):
                continue
            new = self._new(event)
            self.arrived_at, self.heard = place, time.monotonic()
            if new is not None:
                self._push(place, new)

    def realign(self) -> None:
        """The record is read from its beginning again: what has arrived is passed over as far as it agrees."""
        if self.exact and self._choices:
            raise Conflict
        self._rewind()
        self.arrived_at = NOWHERE

    def start_over(self) -> None:
        """The answer begins anew, and nobody has read a part of it."""
        self.restarts += 1
        self._choices.clear()
        self.arrived_at = NOWHERE
        self._push(NOWHERE, StartOver())

    def fail(self, error: InferqError) -> None:
        """Tell the client that nothing more will come."""
        if not self.ended:
            self.ended = True
            self._push(self.arrived_at, Failed(error.code, error.message, error.param))

    def leave(self) -> None:
        """The client is gone: whoever takes the next event learns it."""
        self._queue.put((NOWHERE, ClientGone(), 0))

    def take(self, timeout: float | None) -> Event | None:
        """The next event; None when none came within `timeout` seconds, or `tell` asks for us. Raises ClientGone."""
        self._waited_for = True
        try:
            place, event, held = self._queue.get(timeout=timeout)
        except Empty:
            return None
        finally:
            self._waited_for = False
        if isinstance(event, ClientGone):
            raise ClientGone  # not this one, which would hold this frame, and the frame would hold it
        taken: Event | None = event
        self.place = place
        self._held -= held
        if self.behind and self._held <= LARGEST_MAILBOX // 2:
            self.behind = False
            self.refill(self)
        if isinstance(taken, Done | Failed):
            self.last = taken
            self.at_end()
        return taken

    def empty(self) -> bool:
        return bool(self._queue.empty())

    def _push(self, place: Place, event: Event) -> None:
        if not self._tells(place, event):
            self._held += (taken := size(event))
            self._queue.put((place, event, taken))

    def _tells(self, place: Place, event: Event) -> bool:
        """Whether the client was told of it without waking who waits."""
        if not (self.tell and self._waited_for and self.empty()) or not isinstance(event, Delta) or event.finish_reason:
            return False
        self.place = place
        try:
            if not self.tell(event):
                self._queue.put((place, None, 0))
        except Exception:  # noqa: BLE001 - nothing was sent: who waits does the same again, and answers for it
            return False
        return True

    def _rewind(self) -> None:
        for choice in self._choices.values():
            choice.rewind()

    def _new(self, event: Event | None) -> Event | None:
        """What of an event the client does not have yet. Raises Conflict."""
        match event:
            case Delta():
                return self._placed(event)
            case StartOver() if self.parts:
                self._rewind()
                return None  # what comes will show whether it is the same
            case StartOver():
                self._choices.clear()
            case Progress() if self._choices:
                return None
            case Failed(code=JobCancelled.code) if self.visitor and self.seen:
                self.doubted = event
                return None
            case Done() | Failed():
                self.ended = True
        return event

    def _placed(self, delta: Delta) -> Delta | None:
        """What of a piece has not arrived yet. Raises Conflict."""
        choice = self._choices.get(delta.index) or self._choices.setdefault(delta.index, ArrivedChoice())
        new = choice.take(delta)
        if new is not None:
            now = time.monotonic()
            self.arrived = (self.arrived[0] if self.arrived else now, now)
        return new


class EndBox(Mailbox):
    """A mailbox of somebody who waits for nothing but the end."""

    def _new(self, event: Event | None) -> Event | None:
        if not isinstance(event, Done | Failed):
            return None
        self.ended = True
        return event
