"""The lease keeper: tells Redis what is alive here, and sweeps up after workers that are not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from redis import Redis

from shared.loops import Loops
from shared.ticket import Answer
from shared.tickets import Tickets, sweep_pause
from worker.execution import Execution

log = logging.getLogger(__name__)


class LeaseKeeper:
    """Renews every quarter of a lease, over a connection of its own that never waits longer than a second."""

    def __init__(
        self,
        client: Redis,
        model: str,
        lease: float,
        running: Callable[[], Sequence[Execution]],
        heartbeat: Callable[[], None],
        loops: Loops,
    ) -> None:
        self._tickets = Tickets(client)
        self._model = model
        self._lease_ms = int(lease * 1000)
        self._running = running
        self._heartbeat = heartbeat
        self._loops = loops

    def start(self) -> None:
        self._renewing = self._loops.start("leases", self._renew, pause=self._lease_ms / 4000)
        self._sweeping = self._loops.start("sweep", self._sweep, pause=sweep_pause(self._lease_ms))

    def stop(self) -> None:
        self._sweeping.stop(timeout=1)
        self._renewing.stop(timeout=2)

    def _sweep(self) -> None:
        self._tickets.sweep(self._model, self._lease_ms)
        self._tickets.lapse()

    def _renew(self) -> None:
        executions = self._running()
        if executions:
            answers = self._tickets.renew(self._model, self._lease_ms, [(e.job_id, e.id) for e in executions])
            for e, answer in zip(executions, answers, strict=True):
                self._note(e, answer)
        self._heartbeat()  # last: whatever it meets, the leases are renewed

    def _note(self, e: Execution, answer: Answer) -> None:
        if answer is Answer.FENCED and not (e.ending or e.handed_back):
            # one that is ending may have ended since: its append will tell
            log.warning("the job was taken from us: we were silent for longer than its lease", extra=e.names)
            e.fence()
        elif answer is Answer.CANCELLED:
            e.cancel()
        elif answer is Answer.PREEMPTED and not e.preempt():
            self._tickets.decline(self._model, e.job_id, e.id)
