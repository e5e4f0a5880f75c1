"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def usable() -> int:
    """Cores that the scheduler's affinity and the control group (v2) allow; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, _quota()))


def _quota() -> int:
    try:
        quota, period = _CPU_MAX.read_text().split()
    except (OSError, ValueError):
        return 1 << 16
    return 1 << 16 if quota == "max" else math.ceil(int(quota) / int(period))
