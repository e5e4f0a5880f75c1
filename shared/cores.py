"""How many cores this process may use: what its affinity and every control group above it leave of the machine's."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from shared.control_groups import groups

_ROOT = Path("/")
_UNBOUNDED = 1 << 16


def usable(root: Path = _ROOT) -> int:
    """Hardware threads; at least 1. `root` is where /proc and /sys lie.

    Of a quota of 2.5 cores, 2: a thread more would have all of them stand still for the rest of each period.
    """
    return max(1, min(len(_affinity()), _quota(root)))


def physical(root: Path = _ROOT) -> int:
    """Of these, cores: hardware threads that are siblings share one, and compute hardly more than one of them."""
    cores = {_siblings(root, cpu) for cpu in _affinity()}
    return max(1, min(len(cores), _quota(root)))


def share(cores: int) -> tuple[int, int]:
    """The cores, and the hardware threads, of an engine that is given so many; of one that is given 0, all."""
    return (min(cores, physical()), min(cores, usable())) if cores else (physical(), usable())


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _siblings(root: Path, cpu: int) -> str:
    """Names the core of a hardware thread."""
    topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
    for name in ("core_cpus_list", "thread_siblings_list"):  # the second as kernels before 5.3 call it
        with suppress(OSError):
            return (topology / name).read_text().strip()
    return f"cpu{cpu}"


def _quota(root: Path) -> int:
    return min((int(cores) for cores in _quotas(root)), default=_UNBOUNDED)


def _quotas(root: Path) -> Iterator[float]:
    """Cores that each group allows which allows less than all: the process's own, and those in which it lies."""
    for group in groups("cpu", root):
        with suppress(OSError, ValueError, ZeroDivisionError):  # the group has no such file, or no bound: `max`
            quota, period = (group / "cpu.max").read_text().split()
            yield int(quota) / int(period)
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if int(quota) > 0:  # -1 is no bound
                yield int(quota) / int(period)


def processor(root: Path = _ROOT) -> str:
    """Its name."""
    with suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
