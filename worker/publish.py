"""The publisher: one thread that sends the events of all slots to Redis.

The first event of an execution, its first text and its last event are sent at once, the others are packed for up to
`PACK` seconds. While Redis is away events are held back, and sent again afterwards.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from redis import Redis
from redis.exceptions import NoScriptError

from shared.protocol import Event, State
from shared.store import Outage
from shared.tickets import Answer, Tickets
from worker.execution import Execution

log = logging.getLogger(__name__)

PACK = 0.010
GATHER = 0.002
"""Seconds to wait for the tokens of the other slots, which a batch brings forth at the same time."""
PAUSE = 0.2
"""Seconds between two tries while Redis is away."""


class Publisher:
    """Call `publish` from any thread. `on_settled` is called, in its own thread, when an execution's end is stored."""

    def __init__(self, client: Redis, model: str, on_settled: Callable[[Execution], None]) -> None:
        self._client = client
        self._tickets = Tickets(client)
        self._model = model
        self._on_settled = on_settled
        self._changed = threading.Condition()
        self._waiting: dict[str, Execution] = {}
        self._urgent = False
        self._stopped = False
        self._thread = threading.Thread(target=self._loop, name="publisher", daemon=True)
        self._thread.start()

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
        self._thread.join(timeout=1)

    def _loop(self) -> None:
        sent = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                if not self._waiting:
                    return
                due = max(sent + PACK, time.monotonic() + GATHER)
                self._changed.wait_for(lambda: self._urgent or self._stopped, timeout=due - time.monotonic())
                batch, self._waiting, self._urgent = list(self._waiting.values()), {}, False
            sent = time.monotonic()
            batch = [e for e in batch if not (e.fenced or e.handed_back)]
            try:
                again = self._send(batch)
            except Outage as exc:
                log.warning("redis is away, holding back the events of %d jobs: %s", len(batch), exc)
                again = batch
            if again:
                time.sleep(PAUSE)
                with self._changed:
                    self._waiting = {e.id: e for e in again} | self._waiting

    def _send(self, batch: list[Execution]) -> list[Execution]:
        """Send what is unsent; the executions whose events did not arrive."""
        pipe = self._client.pipeline(transaction=False)
        for e in batch:
            events, state = e.unsent()
            self._tickets.append(
                pipe,
                self._model,
                e.job_id,
                e.id,
                first=e.stored + 1,
                events=events,
                state=state,
            )
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

    def _note(self, e: Execution, answer: Answer, stored: int) -> bool:
        """Take in the answer to an append; False when the events have to be sent again."""
        if answer is Answer.FENCED:
            log.warning("the job belongs to another execution now", extra=e.names)
            e.fence()
        elif answer is Answer.RESEND:
            if stored < e.start:  # the server lost events of an earlier execution, which we do not have: run again
                self._tickets.release(self._model, [(e.job_id, e.id)])
                e.fence()
            else:
                e.stored = stored
                return False
        else:
            e.stored = stored
            if answer is Answer.CANCELLED:
                e.cancel()
        if e.fenced or e.settled:
            self._on_settled(e)
        return True
