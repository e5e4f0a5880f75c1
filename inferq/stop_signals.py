"""SIGTERM, SIGINT, SIGHUP and the end of a child, as things to wait for."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType

_ONE = 0.5
"""Seconds in which what comes is one signal still: make passes on what its whole group has got."""


class StopSignals:
    """From `with` on, the first signal to stop sets `received`; a second one calls `at_once`."""

    def __init__(self, at_once: Callable[[], None]) -> None:
        self.received = False
        self._since = 0.0
        self._at_once = at_once
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def wait(self, timeout: float | None) -> None:
        """Sleep until a signal comes, a child ends, or `timeout` seconds have passed."""
        if not self.received and select.select([self._read], [], [], timeout)[0]:
            os.read(self._read, 4096)

    def __enter__(self) -> StopSignals:
        signal.set_wakeup_fd(self._write)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # so that the end of a child wakes us
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.received:
            self.received, self._since = True, now
        elif now - self._since > _ONE:
            self._at_once()
