"""What the benchmarks print of the machine, as `inferq bench` does, and what processes take of it."""

from __future__ import annotations

import os
from pathlib import Path

from inferq.bench.machine import describe, percentile, spread

__all__ = ["cpu", "describe", "percentile", "spread"]

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, with its threads but without its children. Linux only."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / _TICKS
