"""Files that are there as a whole or not at all, locks between processes, and where the user's folders are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from shared import folders
from shared.file_lock import FileLock
from shared.whole_file import write_whole

WRITER = """
import sys, time
from pathlib import Path
from shared.whole_file import write_whole
with write_whole(Path(sys.argv[1])) as part:
    part.write_text("half")
    print(part, flush=True)
    time.sleep(60)
"""
HOLDER = """
import subprocess, sys
from pathlib import Path
from shared.file_lock import FileLock
lock = FileLock(Path(sys.argv[1]))
assert lock.take()
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, pass_fds=[lock.fd])
print(child.pid, flush=True)
"""


def start(script: str, path: Path) -> tuple[subprocess.Popen[str], str]:
    """A process that runs the script, and the first line it prints."""
    process = subprocess.Popen([sys.executable, "-P", "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with write_whole(target, mode=0o600) as part:
        part.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with suppress(ZeroDivisionError), write_whole(target) as part:
        part.write_text("new")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_writer_has_left_goes_with_the_next_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    target, other = tmp_path / "file", tmp_path / "file.other"
    killed, left = start(WRITER, target)
    killed.kill()
    killed.communicate()
    assert Path(left).read_text() == "half"
    living, written = start(WRITER, target)
    try:
        assert not Path(left).exists()
        with write_whole(other) as part:
            part.write_text("whole")
        with write_whole(target) as part:
            part.write_text("whole")
        assert set(tmp_path.iterdir()) == {target, other, Path(written)}
    finally:
        living.kill()
        living.communicate()


def test_a_lock_outlives_its_holder_in_the_child_that_inherits_it(tmp_path: Path) -> None:
    path, waits = tmp_path / "lock", list[str]()
    holder, pid = start(HOLDER, path)
    holder.communicate()
    lock = FileLock(path, lambda: waits.append("waits"))
    assert not lock.take()
    assert not lock.wait(timeout=0.1)
    threading.Timer(0.1, os.kill, (int(pid), signal.SIGKILL)).start()
    with lock, closing(FileLock(path)) as other:
        assert not other.take()
    assert waits == ["waits", "waits"]
    with closing(FileLock(path)) as other:
        assert other.take()


def test_folders_follow_the_variables_that_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.delenv(f"XDG_{name}_HOME", raising=False)
    usual = tmp_path / ".cache/inferq", tmp_path / ".config/inferq", tmp_path / ".local/share/inferq"
    assert (folders.cache(), folders.config(), folders.data()) == usual
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert (folders.cache(), folders.data()) == (usual[0], tmp_path / "data/inferq")
