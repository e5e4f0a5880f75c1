"""Anti-entropy: whoever waits here and hears nothing is compared with the ticket, which is the truth.

Pushes may be lost: a reply stream overflows, lapses, or is forgotten by a Redis that lost its last second; a job may be
lost with it, or the word that a client has left. What this process knows is therefore compared with Redis, a slice of
it at a time, and put right on whichever side it is wrong.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from gevent.event import Event

from gateway.mailbox import NOWHERE, Farewell, Mailbox
from gateway.replies import Replies
from shared import disturbance
from shared.disturbance import Disturbance
from shared.errors import ArchiveUnavailable, InferqError, JobNotFound, ModelUnavailable, WorkerLost
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
_TOGETHER = 200
"""Farewells that are said in one step of the network: clients leave by hundreds."""


class Reconciler:
    """Compares the mailboxes of this process with the tickets, and repeats farewells that did not arrive."""

    def __init__(
        self, tickets: Tickets, replies: Replies, loops: Loops, retention: int, failing: Callable[[], Mapping[str, str]]
    ) -> None:
        """`retention` is how many seconds a final job is kept; `failing` tells of models that cannot be loaded why."""
        self._tickets = tickets
        self._replies = replies
        self._loops = loops
        self._retention = retention
        self._failing = failing
        self._farewells: deque[tuple[float, Farewell]] = deque(maxlen=MOST_FAREWELLS)
        """Each with the time from which on it may be said (monotonic)."""
        self._news = Event()
        self._doubts = Disturbance(log, "jobs that are in doubt")

    def start(self) -> None:
        self._loops.start("reconciler", self._step, pause=_PAUSE)
        self._loops.start("farewells", self._say)

    def say(self, farewell: Farewell, *, after: float = 0.0) -> None:
        """Tell Redis that a client has left, as soon as it answers; not before so many seconds are over."""
        self._farewells.append((time.monotonic() + after, farewell))
        if not after:
            self._news.set()

    def _say(self) -> None:
        """Those that are due, which wait for one connection however many clients leave."""
        self._news.wait(_PAUSE)
        self._news.clear()
        now, due = time.monotonic(), list[Farewell]()
        for _ in range(len(self._farewells)):
            when, farewell = self._farewells.popleft()
            if when <= now:
                due.append(farewell)
            else:
                self._farewells.append((when, farewell))
        while due:
            said = self._said(due[:_TOGETHER])
            if not said:
                self._farewells.extend((now, farewell) for farewell in due)
                time.sleep(_PAUSE)
                return
            del due[:_TOGETHER]

    def _said(self, farewells: Sequence[Farewell]) -> bool:
        try:
            with self._tickets.client.pipeline(transaction=False) as pipe:
                for farewell in farewells:
                    farewell(pipe)
                pipe.execute()
        except Outage as exc:
            disturbance.redis.fail(f"that {len(farewells)} clients have left will be told later: {exc}")
            return False
        return True

    def _step(self) -> None:
        quiet = time.monotonic() - SILENCE
        waiting = [box for box in self._replies.open_boxes() if box.seen and not box.ended]
        for box in [box for box in waiting if box.doubted]:
            self._ask(box)
        if failing := self._failing():
            self._give_up([box for box in waiting if box.model in failing and box.arrived_at == NOWHERE], failing)
        silent = [box for box in waiting if box.heard < quiet]
        silent.sort(key=lambda box: box.heard)
        if silent:
            self._compare(silent[:_SLICE])

    def _give_up(self, boxes: list[Mailbox], reasons: Mapping[str, str]) -> None:
        """Whoever waits in vain, and was not promised anything, shall not wait for minutes."""
        for box in boxes:
            box.fail(ModelUnavailable(reasons[box.model], param="model"))

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
        except (*Outage, ArchiveUnavailable) as exc:  # the others shall not wait for it
            self._doubts.fail(f"whether {box.job_id} was cancelled is not known yet: {exc}")
            return
        except InferqError as exc:
            box.fail(exc)
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
        except (*Outage, ArchiveUnavailable) as exc:  # the others shall not wait for it
            self._doubts.fail(f"{box.job_id} is not put back yet: {exc}")
        except InferqError as exc:
            box.fail(exc)
        else:
            self._doubts.end()
            box.seen = now
