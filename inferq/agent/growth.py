"""How many workers a model should have, of as many as models.toml allows: more only while that serves more.

One more is tried while requests would wait for long and cores have nothing to do. What a model completes with it in
some seconds is compared with as many before: where that is not more, it goes again, and none is tried for some time.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from shared import cores
from shared.census import Demand

LONG_WAIT = 10.0
"""Seconds that a request would wait which came now, before one more worker is tried."""
WINDOW = 20.0
"""Seconds over which it is counted what a model completes."""
GAIN = 1.1
"""How many times as much it has to be with one more."""
_QUIET = 60.0
"""Seconds without anybody who waits after which one worker goes."""
_NOT_AGAIN = 600.0
"""Seconds for which none is tried after one that was of no use."""
_IDLE = 1.0
"""Cores that have nothing to do, before one is tried."""


class IdleCores:
    """How many have nothing to do, as Linux counts, since the look before."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._last = (0, 0)
        self._idle, self._looked = 0.0, 0.0

    def count(self) -> float:
        """On average over the last second; none where that is not known."""
        if time.monotonic() - self._looked < 1.0:
            return self._idle
        self._looked = time.monotonic()
        try:
            numbers = [int(each) for each in self._stat.read_text().split("\n", 1)[0].split()[1:]]
        except (OSError, ValueError):
            return 0.0
        now = numbers[3] + numbers[4], sum(numbers)
        idle, whole = now[0] - self._last[0], now[1] - self._last[1]
        self._last = now
        self._idle = cores.usable() * idle / whole if whole else 0.0
        return self._idle


@dataclass(slots=True)
class _Course:
    """Of one model."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)
    """When it was looked at, and how many jobs were completed then; over the window."""
    wanted: int = 1
    quiet_since: float | None = None
    before: float = 0.0
    """What was completed in a second before one more was tried."""
    tried_at: float | None = None
    """Since when it is tried; None where none is on trial."""
    not_before: float = 0.0

    @property
    def rate(self) -> float:
        """Jobs completed in a second; 0 as long as the window is not full."""
        (begin, first), (end, last) = self.seen[0], self.seen[-1]
        return (last - first) / (end - begin) if end - begin >= WINDOW * 0.9 else 0.0


class Growth:
    """Of all models of a machine."""

    def __init__(self) -> None:
        self._courses: dict[str, _Course] = {}

    def wanted(self, model: str, bounds: tuple[int, int], ready: int, asked: Demand, idle: float, now: float) -> int:
        """How many workers it should have; `ready` are those that it has, `idle` the cores that have nothing to do."""
        least, most = bounds
        course = self._courses.setdefault(model, _Course(wanted=least))
        _count(course, asked, now)
        course.wanted = max(least, min(course.wanted, most))
        if course.tried_at is not None:
            self._judge(course, ready, now)
        elif course.quiet_since is not None and now - course.quiet_since > _QUIET and course.wanted > least:
            course.wanted, course.quiet_since = course.wanted - 1, now
        elif course.wanted < most and ready >= course.wanted and idle >= _IDLE and now >= course.not_before:
            rate = course.rate
            if rate and asked.waiting / rate > LONG_WAIT:
                course.before, course.tried_at = rate, now
                course.wanted += 1
        return course.wanted

    def _judge(self, course: _Course, ready: int, now: float) -> None:
        """Whether one more has been of use: once it is ready, and a window is over in which all waited for it."""
        assert course.tried_at is not None
        if ready < course.wanted:
            course.seen = deque(list(course.seen)[-1:])
        elif course.quiet_since is not None:  # it has kept up
            course.tried_at = None
        elif course.rate:
            if course.rate < course.before * GAIN:
                course.wanted, course.not_before = course.wanted - 1, now + _NOT_AGAIN
            course.tried_at = None


def _count(course: _Course, asked: Demand, now: float) -> None:
    course.seen.append((now, asked.completed))
    while now - course.seen[0][0] > WINDOW:
        course.seen.popleft()
    course.quiet_since = None if asked.waiting else course.quiet_since or now
