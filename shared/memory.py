"""How much memory this process may use, as Linux tells it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_GROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.stat"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.stat"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)
"""Of control groups, version 2 and 1: the limit, what is taken, and of that what can be given back."""


def total() -> int:
    """Bytes of this machine, or of this control group where that has fewer."""
    return min([_machine("MemTotal"), *(limit for limit, _ in _limits())])


def available() -> int:
    """Bytes that are free now, or would be if files were read again when they are needed."""
    return max(0, min([_machine("MemAvailable"), *(limit - taken for limit, taken in _limits())]))


def _machine(name: str) -> int:
    with suppress(OSError):
        if found := re.search(rf"^{name}:\s+(\d+) kB$", _MEMINFO.read_text(), re.MULTILINE):
            return int(found[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _limits() -> list[tuple[int, int]]:
    """Of each control group that limits us: bytes that it allows, and those that are taken for good."""
    found = []
    for limit, stat, current in _GROUPS:
        with suppress(OSError, ValueError):  # `max` is no limit
            allowed, taken = int(limit.read_text()), int(current.read_text())
            cached = re.search(r"^(?:total_)?inactive_file (\d+)$", stat.read_text(), re.MULTILINE)
            found.append((allowed, taken - (int(cached[1]) if cached else 0)))
    return found
