"""Folders of killed processes do not stay behind, those of living ones do; logs that others write stay short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from shared.logs import shorten
from shared.scratch import Scratch

OWNER = """
import os, sys, time
from pathlib import Path
from shared.scratch import Scratch
scratch = Scratch("test-", Path(sys.argv[1]))
(scratch.path / "file").write_text("content")
pid = os.fork() if sys.argv[2] == "fork" else 1
if pid:
    print(scratch.path, pid, flush=True)
time.sleep(60)
"""


def owner(root: Path, how: str = "") -> tuple[subprocess.Popen[str], Path, int]:
    """A process with a folder, the folder, and the pid of its fork."""
    command = [sys.executable, "-P", "-c", OWNER, str(root), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    path, pid = process.stdout.readline().split()
    return process, Path(path), int(pid)


def test_the_folder_of_a_killed_process_goes_with_the_next_start(tmp_path: Path) -> None:
    process, folder, _ = owner(tmp_path)
    with process:
        first = Scratch("test-", tmp_path)
        assert folder.is_dir()
        assert folder.stat().st_mode & 0o777 == 0o700
        process.kill()
    Scratch("other-", tmp_path).remove()
    assert (folder / "file").exists()
    second = Scratch("test-", tmp_path)
    assert {first.path, second.path} == set(tmp_path.iterdir())
    for scratch in (first, second, second):
        scratch.remove()
    assert not list(tmp_path.iterdir())


def test_a_folder_lives_until_the_last_fork_has_ended(tmp_path: Path) -> None:
    process, folder, fork = owner(tmp_path, "fork")
    with process:
        process.kill()
        process.wait()
        try:
            Scratch("test-", tmp_path).remove()
            assert (folder / "file").exists()
        finally:
            os.kill(fork, 9)
    while Path(f"/proc/{fork}").exists() and folder.exists():
        Scratch("test-", tmp_path).remove()
    Scratch("test-", tmp_path).remove()
    assert not list(tmp_path.iterdir())


def test_a_log_that_grows_keeps_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    shorten(path)
    assert not path.exists()
    with path.open("ab", buffering=0) as log:
        for number in range(200_000):
            if number % 10_000 == 0:
                shorten(path)
                assert path.stat().st_size < 3 << 19
            log.write(b"line %d\n" % number)
        log.write(b"the end\n")
    shorten(path)
    lines = path.read_bytes().splitlines()
    assert lines[-3:] == [b"line 199998", b"line 199999", b"the end"]
    assert lines[1:-1] == [b"line %d" % number for number in range(200_001 - len(lines) + 1, 200_000)]
