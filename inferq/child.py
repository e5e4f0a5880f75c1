"""A process that is started again, with backoff, whenever it ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from inferq.errors import REFUSED
from shared import memory
from shared.backoff import Backoff

log = logging.getLogger("inferq.supervisor")

_FIRST, _LONGEST = 0.5, 30.0
"""Seconds before it is started again."""
_IN_VAIN = 600.0
"""The same where it has said that it cannot run as it is: files may be others by then."""
LEAVE = 5.0
"""Seconds that one may take to end which was asked to, beside the grace that its jobs have."""
_LONG_LIFE = 60.0
"""Seconds after which a process counts as having been well, and the backoff begins anew."""


class Child:
    """One process, which leads a process group of its own: Ctrl-C in the terminal is for its parent alone."""

    def __init__(self, name: str, spawn: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.name = name
        self.due = 0.0
        """When to start it next (monotonic), while it does not run."""
        self.refused = False
        """It has said that it cannot run as it is."""
        self._backoff = Backoff(_FIRST, _LONGEST)
        self._spawn = spawn
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    def start(self) -> None:
        self.adopt(self._spawn())

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        """Take over a process that `spawn` has started."""
        self._process, self._started, self._kills = process, time.monotonic(), memory.kills()
        self.refused = False

    @property
    def failures(self) -> int:
        """How often it ended, one soon after the other."""
        return self._backoff.failures

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
                    self._put_off(f"cannot be started: {exc}")
        elif (status := self._process.poll()) is not None:
            self.kill()  # what it leaves behind in its group would hold its port or its memory
            if now - self._started > _LONG_LIFE:
                self._backoff.reset()
            if status == REFUSED:  # its last line has said why
                self.refused, self.due = True, now + _IN_VAIN
                log.error("%s cannot run as it is, and is not started again before %g s", self.name, _IN_VAIN)
            else:
                self._put_off(f"(pid {self._process.pid}) ended with {self._describe(status)}")
            self._process = None

    def ended(self) -> str:
        """How the process has ended, which is not started again; empty while it runs."""
        if self._process is None or (status := self._process.poll()) is None:
            return ""
        self.kill()
        return self._describe(status)

    def _describe(self, status: int) -> str:
        if status == -signal.SIGKILL and memory.kills() > self._kills:
            return "signal SIGKILL, from the system, for want of memory"
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    def _put_off(self, how: str) -> None:
        pause = self._backoff.fail()
        self.due = time.monotonic() + pause
        log.warning("%s %s; starting it again in %.1f s", self.name, how, pause)

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
