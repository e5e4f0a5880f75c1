"""How many cores this process may use: what its affinity and every control group above it leave of the machine's."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

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
    for group in _groups(root):
        with suppress(OSError, ValueError, ZeroDivisionError):  # the group has no such file, or no bound: `max`
            quota, period = (group / "cpu.max").read_text().split()
            yield int(quota) / int(period)
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if int(quota) > 0:  # -1 is no bound
                yield int(quota) / int(period)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the control groups, v1 and v2, that bound this process's time, from its own upwards."""
    with suppress(OSError, ValueError):
        paths = dict(_memberships((root / "proc/self/cgroup").read_text()))
        for line in (root / "proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            kind, _, options = after.split()[:3]
            controller = {"cgroup2": "", "cgroup": "cpu"}.get(kind)
            if controller is None or (controller and controller not in options.split(",")) or controller not in paths:
                continue
            top, mounted = before.split()[3:5]
            yield from _ascend(root / mounted.lstrip("/"), paths[controller], top)


def _memberships(text: str) -> Iterator[tuple[str, str]]:
    """The path of the process's group, by controller; of v2, which has all of them, by an empty name."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _ascend(mounted: Path, path: str, top: str) -> Iterator[Path]:
    """`top` is the group that is mounted there: in a container its own, as a rule, and nothing above it is seen."""
    inside = PurePosixPath(path)
    inside = inside.relative_to(top) if inside.is_relative_to(top) else PurePosixPath()
    if ".." in inside.parts:  # a group beside that of the name space
        inside = PurePosixPath()
    yield from (mounted / each for each in (inside, *inside.parents))


def processor(root: Path = _ROOT) -> str:
    """Its name."""
    with suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
