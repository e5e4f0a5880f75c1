"""A worker's presence: it is there, and this is what keeps it from serving."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from redis import Redis

from shared import registry
from shared.loops import Loop
from shared.registry import HEARTBEAT, Worker
from shared.store import Outage

log = logging.getLogger(__name__)

TROUBLE = "it cannot compute at the moment"
"""What everybody is told of a worker in trouble; what it is stands in its log, and in `inferq status`."""


class Herald:
    """Announces a worker that has loaded its model: at once when there is news, else at each heartbeat."""

    def __init__(self, client: Redis, worker: Worker, lease_ms: int) -> None:
        self._client = client
        self._worker = self._told = worker
        self._lease_ms = lease_ms
        self._due = 0.0

    def announce(self, trouble: str, loop_errors: Mapping[str, int]) -> bool:
        """Tell what keeps the worker from serving, if anything does. False when it is not time for that.

        Raises ConfigError where the others on this Redis have another lease.
        """
        me = self._worker
        unwell = replace(me, card=None, outline=me.card, failing=True, reason=TROUBLE, detail=trouble)
        now = unwell if trouble else me
        now = replace(now, loop_errors=loop_errors)
        if (now.detail, now.card) == (self._told.detail, self._told.card) and time.monotonic() < self._due:
            return False
        registry.announce(self._client, now, self._lease_ms)
        self._told, self._due = now, time.monotonic() + HEARTBEAT
        return True


class Presence:
    """Within `with` the worker is announced as one that is not ready; it is withdrawn where an exception ends that."""

    def __init__(self, client: Redis, worker: Worker, lease_ms: int) -> None:
        self._client = client
        self._worker = worker
        self._lease_ms = lease_ms
        self._changed = threading.Event()
        self._loop = Loop("presence", self._announce)

    def tell(self, **news: Any) -> None:
        """What has changed of the fields of `Worker`, such as the reason why it is not ready."""
        self._worker = replace(self._worker, **news)
        self._changed.set()

    def _announce(self) -> None:
        self._changed.clear()
        registry.announce(self._client, self._worker, self._lease_ms)
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
                registry.withdraw(self._client, self._worker.name)
            except Outage as exc:
                log.warning("redis: %s", exc)
