"""How many cores there are to use: in made-up trees of /proc and /sys, and in a control group that is made."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from shared import cores

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
V2 = "30 23 0:28 {top} /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw"
V1 = "32 31 0:29 {top} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct"
MADE = Path("/sys/fs/cgroup")


def tree(root: Path, memberships: str, mounts: str, files: dict[str, str]) -> Path:
    files = {"proc/self/cgroup": memberships, "proc/self/mountinfo": mounts, **files}
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def many(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Play a machine with so many hardware threads, which no test can make."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)), raising=False)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 16), ("350000 100000", 3), ("50000 100000", 1), ("nonsense", 16), ("1 0", 16)],
)
def test_a_quota_is_cut_to_whole_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    many(monkeypatch, 16)
    root = tree(tmp_path, "0::/a\n", V2.format(top="/"), {"sys/fs/cgroup/a/cpu.max": quota})
    assert cores.usable(root) == expected


@pytest.mark.parametrize("tightest", ["", "a", "a/b"])
def test_every_group_above_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tightest: str) -> None:
    many(monkeypatch, 16)
    quotas = {f"sys/fs/cgroup/{each}/cpu.max": "800000 100000" for each in ("", "a", "a/b")}
    quotas[f"sys/fs/cgroup/{tightest}/cpu.max"] = "200000 100000"
    assert cores.usable(tree(tmp_path, "0::/a/b\n", V2.format(top="/"), quotas)) == 2


def test_the_first_version_of_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(monkeypatch, 16)
    place = "sys/fs/cgroup/cpu,cpuacct"
    files = {f"{place}/cpu.cfs_quota_us": "-1\n", f"{place}/cpu.cfs_period_us": "100000\n"}
    files |= {f"{place}/pod/cpu.cfs_quota_us": "500000\n", f"{place}/pod/cpu.cfs_period_us": "100000\n"}
    files |= {f"{place}/pod/me/cpu.cfs_quota_us": "-1\n", f"{place}/pod/me/cpu.cfs_period_us": "100000\n"}
    memberships = "5:memory:/elsewhere\n4:cpu,cpuacct:/pod/me\n0::/\n"
    assert cores.usable(tree(tmp_path, memberships, V1.format(top="/"), files)) == 5


def test_a_container_sees_its_own_group_at_the_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name space of its own, /proc tells its path from the machine's root, of which nothing is mounted."""
    many(monkeypatch, 16)
    files = {"sys/fs/cgroup/cpu.max": "400000 100000"}
    assert cores.usable(tree(tmp_path / "1", "0::/docker/1\n", V2.format(top="/docker/1"), files)) == 4
    assert cores.usable(tree(tmp_path / "2", "0::/\n", V2.format(top="/"), files)) == 4
    assert cores.usable(tree(tmp_path / "3", "0::/../beside\n", V2.format(top="/"), files)) == 4


def test_siblings_are_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(monkeypatch, 4)
    pairs = {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}
    topology = "sys/devices/system/cpu/cpu{}/topology/{}"
    old = {topology.format(cpu, "thread_siblings_list"): f"{pair}\n" for cpu, pair in pairs.items()}
    assert cores.physical(tree(tmp_path / "old", "", "", old)) == 2
    new = {topology.format(cpu, "core_cpus_list"): f"{pair}\n" for cpu, pair in pairs.items()}
    root = tree(tmp_path / "new", "0::/\n", V2.format(top="/"), new)
    assert (cores.physical(root), cores.usable(root)) == (2, 4)
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/cpu.max").write_text("100000 100000")
    assert cores.physical(root) == 1
    many(monkeypatch, 1)
    assert cores.physical(tmp_path / "nothing") == 1


def test_where_nothing_is_told_all_are_used(tmp_path: Path) -> None:
    assert cores.usable(tmp_path) == cores.physical(tmp_path) == ALL


def test_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores.share(1) == (1, 1)
    assert cores.share(0) == (cores.physical(), cores.usable())
    assert cores.share(1000) == cores.share(0)


@pytest.fixture
def group() -> Iterator[Path]:
    """A real control group with a quota of one core and a half, and one without within it."""
    v2 = (MADE / "cgroup.controllers").exists()
    top = (MADE if v2 else MADE / "cpu") / f"inferq-test-{os.getpid()}"
    inner = top / "inner"
    try:
        inner.mkdir(parents=True)
        if v2:
            (top / "cpu.max").write_text("150000 100000")
        else:
            (top / "cpu.cfs_quota_us").write_text("150000")
    except OSError as exc:
        _remove(inner, top)
        pytest.skip(f"no control group can be made here: {exc}")
    yield inner
    _remove(inner, top)


def _remove(*groups: Path) -> None:
    for each in groups:
        with suppress(OSError):
            each.rmdir()


@pytest.mark.skipif(ALL < 2, reason="one core is all there is")
def test_in_a_real_group(group: Path) -> None:
    code = (
        "import os, pathlib, sys; pathlib.Path(sys.argv[1], 'cgroup.procs').write_text(str(os.getpid()));"
        "from shared import cores; print(cores.usable(), cores.physical())"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(group)], capture_output=True, text=True, check=False)
    if "cgroup.procs" in ran.stderr or "OSError" in ran.stderr:
        pytest.skip(f"no process can be put into a control group here: {ran.stderr[-200:]}")
    assert ran.stdout.split() == ["1", "1"]
