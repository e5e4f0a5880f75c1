"""What is kept of RQ 3.0: the loop, the registration, the names, the commands and the queue's lists.

And what is not: RQ's own loop ends with the first error of Redis outside of its dequeue, and asks Redis in many places.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from redis import Redis
from rq import SimpleWorker

from shared import disturbance
from shared.store import Outage


class PatientWorker(SimpleWorker):
    """An RQ worker whose loop outlives every outage of Redis."""

    should_run_maintenance_tasks = False

    def _set_connection(self, connection: Redis) -> Redis:
        """RQ would wait seven minutes for each answer, but a link that is cut tells nobody."""
        return connection

    def _set_ip_address(self, connection: Redis) -> None:
        """RQ would warn of each name that Redis takes for no connection: with spaces, or in other scripts."""
        self.ip_address = "unknown"
        if all("!" <= letter <= "~" for letter in self.name):
            super()._set_ip_address(connection)

    def register_birth(self) -> None:
        """The worker's announcements do the same again and again, so a Redis that is away does not matter here."""
        with suppress(*Outage):
            super().register_birth()  # type: ignore[no-untyped-call]  # RQ's is not annotated

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """The lease keeper does it."""

    def check_for_suspension(self, burst: bool) -> None:
        """RQ asks Redis here outside of every `try`, so that an outage would end the loop."""

    def set_state(self, state: str, pipeline: Any = None) -> None:
        self._state = state

    def procline(self, message: str) -> None:
        """Our process title is `inferq worker MODEL`."""

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, thread: Any) -> None:
        # RQ's own lets the thread end on all but ConnectionError.
        disturbance.redis.fail(f"command channel: {exc}")
        time.sleep(1)
