"""The publisher: one loop that sends the events of all slots to Redis.

The first event of an execution, its first text and its last event are sent at once, the others are packed for up to
`PACK` seconds. While Redis is away events are held back, and sent again afterwards.
"""

from __future__ import annotations

import logging
import threading
import time

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import NoScriptError

from shared.errors import InferqError
from shared.loops import Loops
from shared.protocol import Event, State
from shared.ticket import Answer
from shared.tickets import Tickets
from worker.execution import Execution

log = logging.getLogger(__name__)

PACK = 0.010
GATHER = 0.002
"""Seconds to wait for the tokens of the other slots, which a batch brings forth at the same time."""
PAUSE = 0.2
"""Seconds between two tries while Redis is away."""


class Publisher:
    """Call `publish` from any thread."""

    def __init__(self, client: Redis, model: str, loops: Loops) -> None:
        self._client = client
        self._tickets = Tickets(client)
        self._model = model
        self._changed = threading.Condition()
        self._waiting: dict[str, Execution] = {}
        self._urgent = False
        self._stopped = False
        self._sent = 0.0
        self._loop = loops.start("publisher", self._round)

    def publish(self, execution: Execution, event: Event, state: State | None = None) -> None:
        """Send an event; `state` marks the last one."""
        first = execution.add(event, state)
        with self._changed:
            self._waiting[execution.id] = execution
            self._urgent = self._urgent or first or state is not None
            self._changed.notify()

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
            due = max(self._sent + PACK, time.monotonic() + GATHER)
            self._changed.wait_for(lambda: self._urgent or self._stopped, timeout=due - time.monotonic())
            batch, self._waiting, self._urgent = list(self._waiting.values()), {}, False
        self._sent = time.monotonic()
        batch = [e for e in batch if not (e.fenced or e.handed_back)]
        unsent = batch
        try:
            unsent = self._send(batch)
        finally:
            self._take_back(unsent)
        if unsent:
            time.sleep(PAUSE)

    def _take_back(self, unsent: list[Execution]) -> None:
        """These have not arrived; they are sent again with what has come meanwhile."""
        with self._changed:
            self._waiting = {e.id: e for e in unsent} | self._waiting

    def _send(self, batch: list[Execution]) -> list[Execution]:
        """Send what is unsent; the executions whose events did not arrive."""
        pipe = self._client.pipeline(transaction=False)
        for e in batch:
            self._append(pipe, e)
        results = pipe.execute(raise_on_error=False)
        if any(isinstance(result, NoScriptError) for result in results):
            self._tickets.load()
            return self._send(batch)
        again = []
        for e, result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                log.warning("holding back the events of a job: %s", result, extra=e.names)
                again.append(e)
            elif not self._note(e, Answer(result[0]), int(result[1])):
                again.append(e)
        return again

    def _append(self, pipe: Pipeline, e: Execution) -> None:
        """Add what an execution has to send. What cannot be written fails its job, and no other."""
        try:
            self._append_events(pipe, e)
        except Exception:
            log.exception("the events of a job cannot be written", extra=e.names)
            e.spoil(InferqError("The worker could not write the answer; its log says why."))
            self._append_events(pipe, e)

    def _append_events(self, pipe: Pipeline, e: Execution) -> None:
        events, state = e.unsent()
        self._tickets.append(pipe, self._model, e.job_id, e.id, first=e.stored + 1, events=events, state=state)

    def _note(self, e: Execution, answer: Answer, stored: int) -> bool:
        """Take in the answer to an append; False when the events have to be sent again."""
        if answer is Answer.FENCED:
            log.warning("the job belongs to another execution now", extra=e.names)
            e.fence()
        elif answer is Answer.RESEND:
            if stored < e.before:  # the server lost events of an earlier execution, which we do not have: run again
                self._tickets.release(self._model, [(e.job_id, e.id)])
                e.fence()
            else:
                e.stored = stored
                return False
        else:
            e.stored = stored
            if answer is Answer.CANCELLED:
                e.cancel()
            elif answer is Answer.PREEMPTED and not e.preempt():
                self._tickets.decline(self._model, e.job_id, e.id)
        if e.settled:
            e.end()
        elif e.pending and not e.fenced:
            with self._changed:
                self._waiting[e.id], self._urgent = e, True
        return True
