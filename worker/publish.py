"""The publisher: one loop that sends the events of all slots to Redis.

The first event of an execution, its first text and its last event are sent at once. The others are packed for up to
`PACK` seconds, and sent as soon as every execution has something, for a batch brings forth its tokens at one time.
While Redis is away events are held back, and sent again afterwards.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import cached_property

from redis import Redis, ResponseError

from shared.addition import Addition, addition
from shared.disturbance import Disturbance
from shared.errors import InferqError
from shared.loops import Loops
from shared.protocol import Event, TextTask
from shared.store import Line
from shared.ticket import Answer
from shared.tickets import Tickets
from worker.execution import Execution

log = logging.getLogger(__name__)

PACK = 0.020
GATHER = 0.004
"""Seconds to wait at most for those executions that have nothing yet."""
PAUSE = 0.2
"""Seconds between two tries while Redis is away."""
_UNWRITTEN = InferqError("The worker could not write the answer; its log says why.")


class Publisher:
    """Call `publish` from any thread."""

    def __init__(self, client: Redis, model: str, loops: Loops) -> None:
        self._client = client
        self._model = model
        self._changed = threading.Condition()
        self._running: dict[str, Execution] = {}
        self._waiting: dict[str, Execution] = {}
        self._gathering = False
        self._urgent = False
        self._stopped = False
        self._sent = 0.0
        self._disturbance = Disturbance(log, "the publisher")  # its own: Redis may refuse it, and answer all others
        self._loop = loops.start("publisher", self._round)

    @cached_property
    def _tickets(self) -> Tickets:
        return Tickets(Line(self._client))

    def publish(self, execution: Execution, event: Event) -> None:
        """Send an event."""
        urgent = execution.add(event)
        with self._changed:
            first_waiting = not self._waiting
            self._waiting[execution.id] = self._running[execution.id] = execution
            self._urgent = self._urgent or urgent
            # A notice wakes a thread, which costs more than the event itself.
            if urgent or first_waiting or (self._gathering and self._complete()):
                self._changed.notify()

    def forget(self, execution: Execution) -> None:
        """It is over: it has all its events, and the next round may be hours away."""
        with self._changed:
            self._running.pop(execution.id, None)

    def stop(self) -> None:
        """Send what is there, then end; gives up after a second if Redis is away."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._loop.join(timeout=1)

    def _round(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            if not self._waiting:
                self._loop.stop()
                return
            gathered = time.monotonic() + GATHER
            self._wait(self._sent + PACK, lambda: self._urgent)
            self._gathering = True
            self._wait(gathered, lambda: self._urgent or self._complete())
            self._gathering = False
            taken, self._waiting, self._urgent = list(self._waiting.values()), {}, False
        self._sent = time.monotonic()
        # What was added while it was sent may be stored already.
        unsent = batch = [e for e in taken if e.pending and not (e.fenced or e.handed_back)]
        try:
            unsent = self._send(batch)
        finally:
            self._take_back(unsent)
            for each in taken:  # its slot may have told of it after `forget`
                if each.over:
                    self.forget(each)

    def _wait(self, until: float, enough: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._stopped or enough(), timeout=until - time.monotonic())

    def _complete(self) -> bool:
        """Every execution has something to send."""
        return len(self._waiting) >= len(self._running)

    def _take_back(self, unsent: list[Execution]) -> None:
        """These have not arrived; they are sent again with what has come meanwhile."""
        with self._changed:
            self._waiting = {e.id: e for e in unsent} | self._waiting

    def _send(self, batch: list[Execution]) -> list[Execution]:
        """Send what is unsent; the executions of which something is left to be sent."""
        if not batch:
            return []
        try:
            answers = self._tickets.append(self._model, [self._addition(e) for e in batch])
        except ResponseError as exc:  # what is wrong is not a job's
            self._disturbance.fail(f"the events of {len(batch)} jobs are held back: {exc}")
            time.sleep(PAUSE)
            return batch
        self._disturbance.end()
        return [e for e, answer in zip(batch, answers, strict=True) if not self._note(e, answer)]

    def _addition(self, e: Execution) -> Addition:
        """What an execution has to send. What cannot be written fails its job, and no other."""
        try:
            return self._pack(e)
        except Exception:  # whatever an event holds: the others' are sent
            log.exception("the events of a job cannot be written", extra=e.names)
            e.spoil(_UNWRITTEN)
            return self._pack(e)

    def _pack(self, e: Execution) -> Addition:
        generates = isinstance(e.accepted.task, TextTask)
        return addition(e.job_id, e.id, first=e.stored + 1, events=e.unsent(), generates=generates)

    def _note(self, e: Execution, answer: tuple[Answer, int] | ResponseError) -> bool:
        """Take in the answer to an append; False when something is left to be sent."""
        match answer:
            case ResponseError():
                log.error("the events of a job cannot be written: %s", answer, extra=e.names)
                if e.spoil(_UNWRITTEN):
                    return False
                e.fence()
            case (Answer.FENCED, _):
                log.warning("the job belongs to another execution now", extra=e.names)
                e.fence()
            case (Answer.RESEND, stored) if stored >= e.before:
                e.stored = stored
                return False
            case (Answer.RESEND, _):  # the server lost events of an earlier execution, which we do not have: run again
                self._tickets.release(self._model, [(e.job_id, e.id)])
                e.fence()
            case (wish, stored):
                e.stored = stored
                if wish is Answer.CANCELLED:
                    e.cancel()
                elif wish is Answer.PREEMPTED and not e.preempt():
                    self._tickets.decline(self._model, e.job_id, e.id)
        if e.settled:
            e.end()
        return e.fenced or not e.pending
