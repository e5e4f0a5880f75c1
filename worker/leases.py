"""The lease keeper: one thread that tells Redis what is alive here, and sweeps up after workers that are not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from redis import Redis

from shared.store import Outage
from shared.tickets import Answer, Tickets
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
    ) -> None:
        self._tickets = Tickets(client)
        self._model = model
        self._lease_ms = int(lease * 1000)
        self._running = running
        self._heartbeat = heartbeat
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=2)

    def _loop(self) -> None:
        while not self._stopped.wait(self._lease_ms / 4000):
            try:
                self._renew()
                self._tickets.sweep(self._model, self._lease_ms)
                self._heartbeat()  # last: it may fail where memory is out, the leases must not
            except Outage as exc:
                log.warning("leases: %s", exc)
            except Exception:  # whatever it is, without this thread other workers would take every job from us
                log.exception("leases")

    def _renew(self) -> None:
        executions = self._running()
        if not executions:
            return
        answers = self._tickets.renew(self._model, self._lease_ms, [(e.job_id, e.id) for e in executions])
        for e, answer in zip(executions, answers, strict=True):
            if answer is Answer.FENCED and not (e.ending or e.handed_back):
                # one that is ending may have ended since: its append will tell
                log.warning("the job was taken from us: we were silent for longer than its lease", extra=e.names)
                e.fence()
            elif answer is Answer.CANCELLED:
                e.cancel()
