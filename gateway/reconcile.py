"""Anti-entropy: whoever waits here and hears nothing is compared with the ticket, which is the truth.

Pushes may be lost: a reply stream overflows, lapses, or is forgotten by a Redis that lost its last second; a job may be
lost with it, or the word that a client has left. What this process knows is therefore compared with Redis, a slice of
it at a time, and put right on whichever side it is wrong.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from gateway.mailbox import Mailbox
from gateway.replies import Replies
from shared.errors import InferqError, JobNotFound, WorkerLost
from shared.loops import Loops
from shared.store import Outage
from shared.tickets import Tickets

log = logging.getLogger(__name__)

SILENCE = 5.0
"""Seconds without an event after which a mailbox is compared."""
_SLICE = 500
"""Mailboxes that are compared in one step of Redis."""
_PAUSE = 0.25
MOST_FAREWELLS = 10_000
"""Those that wait for Redis. The oldest are forgotten beyond that; their jobs end all the same, only later."""

Farewell = Callable[[], object]


class Reconciler:
    """Compares the mailboxes of this process with the tickets, and repeats farewells that did not arrive."""

    def __init__(self, tickets: Tickets, replies: Replies, loops: Loops, retention: int) -> None:
        """`retention` is how many seconds a final job is kept."""
        self._tickets = tickets
        self._replies = replies
        self._loops = loops
        self._retention = retention
        self._farewells: deque[tuple[float, Farewell]] = deque(maxlen=MOST_FAREWELLS)
        """Each with the time from which on it may be said (monotonic)."""

    def start(self) -> None:
        self._loops.start("reconciler", self._step, pause=_PAUSE)

    def say(self, farewell: Farewell, *, after: float = 0.0) -> None:
        """Tell Redis that a client has left, now or once it answers again; not before so many seconds are over."""
        if after or not self._said(farewell):
            self._farewells.append((time.monotonic() + after, farewell))

    def _said(self, farewell: Farewell) -> bool:
        try:
            farewell()
        except Outage as exc:
            log.warning("a client's leaving will be told later: %s", exc)
            return False
        return True

    def _say_again(self) -> None:
        """Those that are due, until Redis is found to be away."""
        now = time.monotonic()
        for _ in range(len(self._farewells)):
            due, farewell = self._farewells.popleft()
            said = due <= now and self._said(farewell)
            if not said:
                self._farewells.append((due, farewell))
            if due <= now and not said:
                return

    def _step(self) -> None:
        self._say_again()
        quiet = time.monotonic() - SILENCE
        waiting = [box for box in self._replies.open_boxes() if box.seen and not box.ended]
        for box in [box for box in waiting if box.doubted]:
            self._ask(box)
        silent = [box for box in waiting if box.heard < quiet]
        silent.sort(key=lambda box: box.heard)
        if silent:
            self._compare(silent[:_SLICE])

    def _compare(self, boxes: list[Mailbox]) -> None:
        differing = self._tickets.attach(self._replies.stream, [box.sighting for box in boxes])
        now = time.monotonic()
        for index, box in enumerate(boxes):
            if box.closed:
                if box.farewell:  # it crossed with the comparison, which has made the client known again
                    self.say(box.farewell)
                continue
            if differing.get(index, True):
                box.seen = now
                if index in differing:
                    self._fill(box)
            elif not box.ended:
                self._restore(box, now)
            box.heard = now

    def _fill(self, box: Mailbox) -> None:
        with suppress(JobNotFound):
            box.over = self._tickets.get(box.job_id).state.final
        self._replies.fill(box)

    def _ask(self, box: Mailbox) -> None:
        """Tell that the job was cancelled; where Redis had only forgotten who waits for it, put it back instead."""
        assert box.doubted is not None
        try:
            if self._tickets.get(box.job_id).deserted and box.restore:
                box.restore()
                log.warning("redis had forgotten who waits for %s", box.job_id)
            else:
                box.fail(InferqError(box.doubted.message, code=box.doubted.code))
        except JobNotFound:
            box.fail(InferqError(box.doubted.message, code=box.doubted.code))
        except Outage as exc:  # the others shall not wait for it
            log.warning("whether %s was cancelled is not known yet: %s", box.job_id, exc)
            return
        box.doubted = None

    def _restore(self, box: Mailbox, now: float) -> None:
        """Redis does not know the job."""
        if box.over or now - box.seen >= self._retention:  # it has ended, or may have ended since
            box.fail(WorkerLost("The job is not known any more: it was lost, or has ended too long ago."))
            return
        log.warning("redis has lost %s", box.job_id)
        if box.restore is None:
            box.fail(WorkerLost("Redis has lost the job, and nobody who knows its request waits here."))
            return
        try:
            box.restore()
        except Outage as exc:  # the others shall not wait for it
            log.warning("%s is not put back yet: %s", box.job_id, exc)
        except InferqError as exc:
            box.fail(exc)
        else:
            box.seen = now
