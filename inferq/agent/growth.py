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
_IDLE = 0.5
"""Cores that have nothing to do, before one is tried: with less of one it could hardly be of use."""


class IdleCores:
    """How many have nothing to do, as Linux counts."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._seen: deque[tuple[float, int, int]] = deque()
        """When it was looked at, and the ticks of all cores until then: idle ones, and all."""

    def count(self) -> float:
        """On average over the window; none where that is not known."""
        now = time.monotonic()
        if not self._seen or now - self._seen[-1][0] >= 1.0:
            try:
                ticks = [int(each) for each in self._stat.read_text().split("\n", 1)[0].split()[1:]]
            except (OSError, ValueError):
                return 0.0
            self._seen.append((now, sum(ticks[3:5]), sum(ticks)))
            while now - self._seen[0][0] > WINDOW:
                self._seen.popleft()
        (_, idle, whole), (_, now_idle, now_whole) = self._seen[0], self._seen[-1]
        return cores.usable() * (now_idle - idle) / (now_whole - whole) if now_whole > whole else 0.0


@dataclass(slots=True)
class _Trend:
    """Of one model."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)
    """When it was looked at, and how many jobs were completed then; over the window."""
    wanted: int = 1
    quiet_since: float | None = None
    before: float = 0.0
    """What was completed in a second before one more was tried."""
    tried_at: float | None = None
    """Since when it is tried; None where none is on trial."""
    begun: bool = False
    """It was started."""
    not_before: float = 0.0

    @property
    def rate(self) -> float:
        """Jobs completed in a second; 0 as long as the window is not full."""
        (begin, first), (end, last) = self.seen[0], self.seen[-1]
        return (last - first) / (end - begin) if end - begin >= WINDOW * 0.9 else 0.0


class Growth:
    """Of all models of a machine."""

    def __init__(self) -> None:
        self._courses: dict[str, _Trend] = {}

    def wanted(
        self, model: str, bounds: tuple[int, int], there: int, ready: int, asked: Demand, idle: float, now: float
    ) -> int:
        """How many workers it should have. `there` are those that it has, of which some are `ready`, `idle` the cores
        that have nothing to do."""
        least, most = bounds
        trend = self._courses.setdefault(model, _Trend(wanted=least))
        _count(trend, asked, now)
        trend.wanted = max(least, min(trend.wanted, most))
        if trend.tried_at is not None:
            self._judge(trend, there, ready, now)
        elif trend.quiet_since is not None and now - trend.quiet_since > _QUIET and trend.wanted > least:
            trend.wanted, trend.quiet_since = trend.wanted - 1, now
        elif trend.wanted < most and ready >= trend.wanted and idle >= _IDLE and now >= trend.not_before:
            rate = trend.rate
            if rate and asked.waiting / rate > LONG_WAIT:
                trend.before, trend.tried_at, trend.begun = rate, now, False
                trend.wanted += 1
        return trend.wanted

    def _judge(self, trend: _Trend, there: int, ready: int, now: float) -> None:
        """Whether one more has been of use: once it is ready, and a window is over in which all waited for it."""
        assert trend.tried_at is not None
        if ready < trend.wanted:
            trend.seen = deque(list(trend.seen)[-1:])
            if trend.begun and there < trend.wanted:  # it could not be loaded
                trend.wanted, trend.tried_at, trend.not_before = trend.wanted - 1, None, now + _NOT_AGAIN
            elif trend.quiet_since is not None:  # it has found no room until nobody waited for it
                trend.wanted, trend.tried_at = trend.wanted - 1, None
            trend.begun = there >= trend.wanted
        elif trend.quiet_since is not None:  # it has kept up
            trend.tried_at = None
        elif trend.rate:
            if trend.rate < trend.before * GAIN:
                trend.wanted, trend.not_before = trend.wanted - 1, now + _NOT_AGAIN
            trend.tried_at = None


def _count(trend: _Trend, asked: Demand, now: float) -> None:
    trend.seen.append((now, asked.completed))
    while now - trend.seen[0][0] > WINDOW:
        trend.seen.popleft()
    trend.quiet_since = None if asked.waiting else trend.quiet_since or now
