"""A worker's end: when it is asked for, and how long the jobs have that it computes."""

from __future__ import annotations

import math
import os
import signal
import threading
import time


class Retirement:
    """Set once a worker is to take no further jobs."""

    def __init__(self, grace: float) -> None:
        self.patience = self._grace = grace
        """Seconds that the running jobs have, from the moment at which they were told."""
        self._asked_at = 0.0
        self._asked = threading.Event()

    @property
    def asked(self) -> bool:
        """Whether it is to end."""
        return self._asked.is_set()

    def wait(self, timeout: float) -> bool:
        """Whether it is to end, for which it waits for so many seconds."""
        return self._asked.wait(timeout)

    def listen(self) -> None:
        """From now on SIGUSR1 asks for an end without haste: who computes an answer finishes it."""
        signal.signal(signal.SIGUSR1, lambda *_: self.drain())

    def hurry(self) -> None:
        """The grace begins now; one more SIGTERM or SIGINT ends the process at once."""
        self.patience, self._asked_at = self._grace, time.monotonic()
        self._asked.set()
        signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
        signal.signal(signal.SIGINT, lambda *_: os._exit(1))

    @property
    def patient(self) -> bool:
        """Whether the running jobs have time left."""
        return time.monotonic() < self._asked_at + self.patience

    def drain(self) -> None:
        """Asked for an end without haste."""
        if not self.asked:
            self.patience = math.inf
            self._asked.set()
