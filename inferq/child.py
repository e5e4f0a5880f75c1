"""A process that is started again, with backoff, whenever it ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger("inferq.supervisor")

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
LONG_LIFE = 60.0
"""Seconds after which a process counts as having been well, and the backoff begins anew."""


class Child:
    """One process, which leads a process group of its own: Ctrl-C in the terminal is for its parent alone."""

    def __init__(self, name: str, spawn: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.name = name
        self.failures = 0
        """How often it ended, one soon after the other."""
        self.due = 0.0
        """When to start it next (monotonic), while it does not run."""
        self._spawn = spawn
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    def start(self) -> None:
        self.adopt(self._spawn())

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        """Take over a process that `spawn` has started."""
        self._process, self._started = process, time.monotonic()

    @property
    def running(self) -> bool:
        return self._process is not None

    def tend(self) -> None:
        """Notice the end of the process; start it again when it is due."""
        now = time.monotonic()
        if self._process is None:
            if now >= self.due:
                try:
                    self.start()
                except OSError as exc:  # the machine has no room for it now
                    self._failed(f"cannot be started: {exc}")
        elif (status := self._process.poll()) is not None:
            self.kill()  # what it leaves behind in its group would hold its port or its memory
            if now - self._started > LONG_LIFE:
                self.failures = 0
            self._failed(f"(pid {self._process.pid}) ended with {_described(status)}")
            self._process = None

    def _failed(self, how: str) -> None:
        self.failures += 1
        delay = min(FIRST_DELAY * 2 ** min(self.failures - 1, 10), LONGEST_DELAY)
        self.due = time.monotonic() + delay
        log.warning("%s %s; starting it again in %.1f s", self.name, how, delay)

    def terminate(self) -> None:
        if self._process:
            self._process.terminate()

    def join(self, timeout: float) -> None:
        """Wait for the end; kill what has not ended after `timeout` seconds."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, timeout))
        except subprocess.TimeoutExpired:
            log.warning("%s (pid %d) does not stop: killing it", self.name, self._process.pid)
        self.kill()
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        """SIGKILL the process and its whole group."""
        if self._process:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _described(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
