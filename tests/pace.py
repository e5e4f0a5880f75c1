"""How fast this machine is at the moment: bounds in seconds, found on a fast and quiet one, follow it elsewhere."""

from __future__ import annotations

import statistics
import time

USUAL = 0.0075
"""Seconds that the work takes on a core of an AMD EPYC that has nothing else to do."""
_TIMES = 9


def slowness() -> float:
    """How many times as long as there everything takes here now; 1 where it takes less."""
    return max(1.0, statistics.median(_work() for _ in range(_TIMES)) / USUAL)


def _work() -> float:
    begun, total = time.perf_counter(), 0
    for number in range(200_000):
        total += number * number % 7
    return time.perf_counter() - begun
