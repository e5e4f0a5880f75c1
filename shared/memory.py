"""How much memory there is for models: what the machine and the control groups have, less what others use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from shared.control_groups import groups
from shared.errors import ModelLoadError

FORM = r"0*[1-9]\d*(\.\d+)?([KMGT]i?)?B?|(100|0*[1-9]\d?)(\.0+)?%"
"""Of `INFERQ_MEMORY`."""
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS |= {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
KERNEL = 32
"""The part of the whole that is left to the kernel, whose tables count in control groups as well."""
_ROOT = Path("/")
_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Of a control group, version 2 and 1: what it allows, and what is taken."""


_KILLED = ("memory.events", "memory.oom_control")
"""Of a control group, version 2 and 1: how many of its processes were killed for want of memory."""


class DoesNotFit(ModelLoadError):
    """There is less memory than a model needs."""

    words = "There is not enough memory for the model."


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """Bytes that models may have."""

    total: int
    taken: int
    """By others, by models that run already, and what is left to the kernel."""
    said: str
    """Whose the total is, in words."""

    @property
    def free(self) -> int:
        return max(0, self.total - self.taken)

    def __str__(self) -> str:
        return f"{tell(self.free)} free of {tell(self.total)} ({self.said})"


def budget(setting: str = "", root: Path = _ROOT, shared: int = 0) -> MemoryBudget:
    """What there is now: of all that bound it, that which has the least left.

    `setting` is `INFERQ_MEMORY`, what models may have together; what those that run have of it, who has started them
    knows. Of what is taken, `shared` bytes are what is wanted. `root` is where /proc and /sys lie.
    """
    bounds = [_machine(root), *_limits(root)]
    least = min(bounds, key=lambda bound: bound.free)
    least = replace(least, taken=max(0, least.taken - shared) + least.total // KERNEL)
    if not setting:
        return least
    allowed = parse(setting, min(bound.total for bound in bounds))
    if allowed < least.free:
        return MemoryBudget(allowed, 0, f"INFERQ_MEMORY={setting}")
    return least


def total(root: Path = _ROOT) -> int:
    """Bytes of this machine, or of this control group where that has fewer."""
    return min(bound.total for bound in (_machine(root), *_limits(root)))


def available(root: Path = _ROOT) -> int:
    """Bytes that are free now, or would be if files that nobody has mapped were read again when they are needed."""
    return budget(root=root).free


def kills(root: Path = _ROOT) -> int:
    """How many processes were ever killed for want of memory: of this one's control groups, or else of the machine."""
    told = list[int]()
    for path in (*(group / name for group in groups("memory", root) for name in _KILLED), root / "proc/vmstat"):
        if path.name in _KILLED or not told:
            with suppress(OSError, ValueError, KeyError):
                told.append(int(dict(line.split() for line in path.read_text().splitlines())["oom_kill"]))
    return sum(told)


def parse(text: str, whole: int) -> int:
    """Bytes, of a text of the FORM: `4GiB`, `3000MB`, or `50%` of the `whole`."""
    if text.endswith("%"):
        return int(whole * float(text[:-1]) / 100)
    number, unit = re.fullmatch(r"([\d.]+)([KMGT]i?|)B?", text).groups()  # type: ignore[union-attr]  # it has the form
    return int(float(number) * _UNITS[unit])


def tell(size: int) -> str:
    """In words, to three digits."""
    number, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1000:
            break
        number, unit = number / 1024, larger
    return f"{number:.{0 if unit == 'B' else max(0, 3 - len(str(int(number))))}f} {unit}"


def _machine(root: Path) -> MemoryBudget:
    """Files that somebody has mapped, as the weights of models that run, are in use, though Linux calls them free."""
    with suppress(OSError, ValueError, KeyError):
        told = dict(line.split(":") for line in (root / "proc/meminfo").read_text().splitlines())
        sizes = {name: int(text.split()[0]) * 1024 for name, text in told.items()}
        mapped = min(sizes["Mapped"], sizes["Active(file)"] + sizes["Inactive(file)"])
        whole = sizes["MemTotal"]
        return MemoryBudget(whole, whole - max(0, sizes["MemAvailable"] - mapped), "of this machine")
    return MemoryBudget(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), 0, "of this machine")


def _limits(root: Path) -> Iterator[MemoryBudget]:
    """Those of each control group that has one."""
    for group in groups("memory", root):
        for limit, current in _FILES:
            with suppress(OSError, ValueError):  # `max` is no limit
                allowed, taken = (int((group / name).read_text()) for name in (limit, current))
                if allowed < 1 << 62:  # what version 1 has for none
                    yield MemoryBudget(allowed, max(0, taken - _spare(group)), "of this control group")


def _spare(group: Path) -> int:
    """Bytes of files in memory that nobody has mapped: they go when others need the room."""
    with suppress(OSError, ValueError):
        told = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())

        def size(name: str) -> int:  # of version 1 with the groups inside
            return int(told.get(f"total_{name}", told.get(name, 0)))

        mapped = size("mapped_file") or size("file_mapped")
        return max(0, size("inactive_file") + size("active_file") - mapped)
    return 0
