"""The control groups that this process lies in, version 1 and 2: where their files are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_ROOT = Path("/")


def groups(controller: str, root: Path = _ROOT) -> Iterator[Path]:
    """The folders of the control groups, v1 and v2, that bound what this process has of a controller (`cpu`, `memory`),
    from its own upwards."""
    with suppress(OSError, ValueError):
        paths = dict(_memberships((root / "proc/self/cgroup").read_text()))
        for line in (root / "proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            kind, _, options = after.split()[:3]
            named = {"cgroup2": "", "cgroup": controller}.get(kind)
            if named is None or (named and named not in options.split(",")) or named not in paths:
                continue
            top, mounted = before.split()[3:5]
            yield from _ascend(root / mounted.lstrip("/"), paths[named], top)


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
