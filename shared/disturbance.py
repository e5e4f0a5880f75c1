"""What goes wrong again and again, in the log: a line when it begins, one a minute, and one when it is over."""

from __future__ import annotations

import logging
import threading
import time

PERIOD = 60.0
"""Seconds between two lines that say the same of one matter, also where it comes and goes meanwhile."""


class Disturbance:
    """One matter, as that Redis does not answer, of which many threads may complain."""

    def __init__(self, log: logging.Logger, subject: str) -> None:
        self._log, self._subject = log, subject
        self._lock = threading.Lock()
        self._since: float | None = None
        """When it began (monotonic); None while all is well."""
        self._due = 0.0
        self._failures = 0
        self._told = False

    def fail(self, words: str, *, level: int = logging.WARNING, error: BaseException | None = None) -> None:
        """It goes wrong, in these words. `error` is told with its trace."""
        with self._lock:
            now = time.monotonic()
            begins = self._since is None
            self._since = now if self._since is None else self._since
            self._failures += 1
            if now < self._due:
                return
            self._due, self._told = now + PERIOD, True
            lasting = "" if begins else f" (for {now - self._since:.0f} s, {self._failures} failures)"
        self._log.log(level, "%s: %s%s", self._subject, words, lasting, exc_info=error)

    def end(self) -> None:
        """It goes well. To be called as often as one likes."""
        if self._since is None:
            return
        with self._lock:
            told, failures = self._told, self._failures
            self._since, self._failures, self._told = None, 0, False
        if told:
            self._log.info("%s works again, after %d failures", self._subject, failures)


redis = Disturbance(logging.getLogger("inferq.redis"), "redis")
"""That it does not answer: of whatever in this process asks it."""
