"""A worker's presence: it is there, and this is what keeps it from serving."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from types import TracebackType

from redis import Redis

from shared import registry
from shared.registry import HEARTBEAT, Worker
from shared.store import Outage

log = logging.getLogger(__name__)


class Herald:
    """Announces a worker that has loaded its model: at once when there is news, else at each heartbeat."""

    def __init__(self, client: Redis, worker: Worker) -> None:
        self._client = client
        self._worker = self._told = worker
        self._due = 0.0

    def announce(self, trouble: str) -> bool:
        """Tell what keeps the worker from serving, if anything does. False when it is not time for that."""
        now = replace(self._worker, card=None, reason=trouble) if trouble else self._worker
        if now == self._told and time.monotonic() < self._due:
            return False
        registry.announce(self._client, now)
        self._told, self._due = now, time.monotonic() + HEARTBEAT
        return True


class Presence:
    """Within `with` the worker is announced as one that is not ready; it is withdrawn where an exception ends that."""

    def __init__(self, client: Redis, worker: Worker) -> None:
        self._client = client
        self._worker = worker
        self._changed = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._loop, name="presence", daemon=True)

    def tell(self, reason: str) -> None:
        """Why it is not ready now."""
        self._worker = replace(self._worker, reason=reason)
        self._changed.set()

    def _loop(self) -> None:
        while not self._over:
            self._changed.clear()
            try:
                registry.announce(self._client, self._worker)
            except Outage as exc:
                log.warning("waiting for redis: %s", exc)
            self._changed.wait(HEARTBEAT)

    def __enter__(self) -> Presence:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._changed.set()
        self._thread.join()
        if error is not None:
            try:
                registry.withdraw(self._client, self._worker.name)
            except Outage as exc:
                log.warning("redis: %s", exc)
