"""How much memory models may have: in made-up trees of /proc and /sys."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared import memory
from shared.config import Config, ConfigError

V2 = "30 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw"
V1 = "32 31 0:29 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
MACHINE = {"MemTotal": 8000, "MemAvailable": 5000, "Active(file)": 2000, "Inactive(file)": 500, "Mapped": 1000}
"""Kibibytes."""
KIB = 1024


def tree(root: Path, memberships: str, mount: str, files: dict[str, str]) -> Path:
    meminfo = "".join(f"{name}:  {size} kB\n" for name, size in MACHINE.items())
    files = {"proc/self/cgroup": memberships, "proc/self/mountinfo": mount, "proc/meminfo": meminfo, **files}
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_files_that_somebody_has_mapped_are_in_use(tmp_path: Path) -> None:
    """As the weights of a model that runs, which Linux counts as available."""
    found = memory.budget(root=tree(tmp_path, "", "", {}))
    assert (found.total, found.free) == (8000 * KIB, 3750 * KIB)  # a 32nd part is the kernel's
    assert str(found) == "3.66 MiB free of 7.81 MiB (of this machine)"


@pytest.mark.parametrize("place", ["", "a", "a/b"])
def test_the_group_with_the_least_left_decides(tmp_path: Path, place: str) -> None:
    def group(limit: int | str, taken: int) -> tuple[str, str, str]:
        return str(limit), str(taken), "anon 5\ninactive_file 400\nactive_file 200\nfile_mapped 100"

    files = {}
    for each in ("", "a", "a/b"):
        told = group(3_000_000, 1_500_500) if each == place else group("max" if each else 4_000_000, 1_500_500)
        for name, text in zip(("max", "current", "stat"), told, strict=True):
            files[f"sys/fs/cgroup/{each}/memory.{name}"] = f"{text}\n"
    root = tree(tmp_path, "0::/a/b\n", V2, files)
    assert (memory.total(root), memory.available(root)) == (3_000_000, 1_500_000 - 3_000_000 // 32)
    assert memory.budget(root=root).said == "of this control group"


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    files = {"memory.limit_in_bytes": "3000000", "memory.usage_in_bytes": "1500000"}
    files["memory.stat"] = (
        "inactive_file 1\ntotal_inactive_file 400000\ntotal_active_file 200000\ntotal_mapped_file 0\n"
    )
    inner = {f"sys/fs/cgroup/memory/pod/{name}": text for name, text in files.items()}
    top = {"sys/fs/cgroup/memory/memory.limit_in_bytes": str((1 << 63) - 4096)}
    top["sys/fs/cgroup/memory/memory.usage_in_bytes"] = "1500000"
    root = tree(tmp_path, "5:memory:/pod\n4:cpu:/elsewhere\n", V1, inner | top)
    assert (memory.total(root), memory.available(root)) == (3_000_000, 2_100_000 - 3_000_000 // 32)


def test_who_was_killed_for_want_of_memory(tmp_path: Path) -> None:
    counted = {"proc/vmstat": "nr_free_pages 5\noom_kill 3\n"}
    assert memory.kills(tree(tmp_path / "none", "", "", counted)) == 3
    second = {f"sys/fs/cgroup/{place}memory.events": "max 9\noom_kill 2\n" for place in ("a/", "a/b/")}
    assert memory.kills(tree(tmp_path / "second", "0::/a/b\n", V2, counted | second)) == 4
    first = {"sys/fs/cgroup/memory/pod/memory.oom_control": "under_oom 0\noom_kill 1\n"}
    assert memory.kills(tree(tmp_path / "first", "5:memory:/pod\n", V1, counted | first)) == 1
    assert memory.kills(tmp_path / "nowhere") == 0


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [("4GiB", 4 << 30), ("3000MB", 3_000_000_000), ("1.5G", 1_500_000_000), ("700000", 700_000), ("25%", 2000 * KIB)],
)
def test_what_is_set(tmp_path: Path, setting: str, allowed: int) -> None:
    """Bounds what models may have, and does not make more of what there is."""
    root = tree(tmp_path, "", "", {})
    assert memory.parse(setting, memory.total(root)) == allowed
    assert memory.budget(setting, root).free == min(allowed, 3750 * KIB)
    assert Config.from_env({"INFERQ_MEMORY": setting}).memory == setting


@pytest.mark.parametrize("setting", ["0", "4 GiB", "0GiB", "much", "-1", "101%", "0%", "4PB"])
def test_what_is_no_size(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"INFERQ_MEMORY=.*a size such as 4GiB"):
        Config.from_env({"INFERQ_MEMORY": setting})


def test_this_machine() -> None:
    assert 0 < memory.available() <= memory.total()
