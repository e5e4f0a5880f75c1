"""A worker's presence: it is there, and this is what keeps it from serving."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from redis import Redis

from shared import disturbance, footprint, registry
from shared.errors import InferqError
from shared.loops import Loop
from shared.registry import HEARTBEAT, Worker
from shared.store import Outage
from worker.engines.host_process import living

TROUBLE = "it cannot compute at the moment"
"""What everybody is told of a worker in trouble; what it is stands in its log, and in `inferq status`."""


class Meter:
    """What the worker and its engine's hosts take of the machine."""

    def __init__(self) -> None:
        self._looked = time.monotonic()
        self._spent: dict[int, float] = {}

    def read(self) -> dict[str, Any]:
        """Fields of `Worker`. The load is that since the call before; of a host that has come since all that it had."""
        pids, now = [os.getpid(), *living()], time.monotonic()
        before, self._spent = self._spent, {pid: footprint.spent(pid) for pid in pids}
        used = sum(max(0.0, spent - before.get(pid, 0.0)) for pid, spent in self._spent.items())
        since, self._looked = now - self._looked, now
        load = round(used / since, 2) if since > 0 and any(before.values()) else None
        return {"memory_bytes": sum(map(footprint.resident, pids)), "load": load}


class Herald:
    """Announces a worker that has loaded its model: at once when there is news, else at each heartbeat."""

    def __init__(self, client: Redis, worker: Worker, lease_ms: int) -> None:
        self._client = client
        self._worker = self._told = worker
        self._lease_ms = lease_ms
        self._due = 0.0
        self._meter = Meter()

    def announce(self, trouble: str, loop_errors: Mapping[str, int]) -> bool:
        """Tell what keeps the worker from serving, if anything does. False when it is not time for that.

        Raises ConfigError where the others on this Redis have another lease.
        """
        me = self._worker
        unwell = replace(me, card=None, outline=me.card, failing=True, reason=TROUBLE, detail=trouble)
        now = unwell if trouble else me
        if (now.detail, now.card) == (self._told.detail, self._told.card) and time.monotonic() < self._due:
            return False
        now = replace(now, loop_errors=loop_errors, **self._meter.read())
        registry.announce(self._client, now, self._lease_ms)
        self._told, self._due = now, time.monotonic() + HEARTBEAT
        return True


class Presence:
    """Within `with` the worker is announced as one that is not ready; it is withdrawn where an exception ends that, but
    for one that is `permanent`: so everybody can read for some seconds why it has ended."""

    def __init__(self, client: Redis, worker: Worker, lease_ms: int) -> None:
        self._client = client
        self._worker = worker
        self._lease_ms = lease_ms
        self._meter = Meter()
        self._changed = threading.Event()
        self._loop = Loop("presence", self._announce)

    def tell(self, **news: Any) -> None:
        """What has changed of the fields of `Worker`, such as the reason why it is not ready."""
        self._worker = replace(self._worker, **news)
        self._changed.set()

    def _announce(self) -> None:
        self._changed.clear()
        registry.announce(self._client, replace(self._worker, **self._meter.read()), self._lease_ms)
        self._changed.wait(HEARTBEAT)

    def __enter__(self) -> Presence:
        self._loop.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.stop()
        self._changed.set()
        self._loop.join(None)
        if error is not None:
            try:
                if isinstance(error, InferqError) and error.permanent:  # it is asked for once more why that is
                    registry.announce(self._client, self._worker, self._lease_ms)
                else:
                    registry.withdraw(self._client, self._worker.name)
            except Outage as exc:
                disturbance.redis.fail(str(exc))
