"""`inferq up` as a user runs it, to start, to stop and to hurt."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack import wait_for


class Up:
    """A running `inferq up`, the leader of a process group as in a terminal. It ends with us, however we end.

    One process of a gateway does for most tests, and each takes a second of a core to start.
    """

    def __init__(self, data_dir: Path, *arguments: str, **environ: str) -> None:
        self.data_dir = data_dir
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as in a terminal, also where ours ignores it
        self.log_file = data_dir.with_suffix(".log")
        with self.log_file.open("wb") as log:
            command = ["up", "--parent", str(os.getpid()), "--data-dir", str(data_dir), *arguments]
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "inferq", *command],
                env={**os.environ, "INFERQ_GATEWAY_PROCESSES": "1", **environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def ready(self, seconds: float = 60) -> str:
        """Wait for the ready line; returns the URL."""
        out = self.process.stdout
        assert out is not None
        try:
            wait_for(lambda: select.select([out], [], [], 0)[0], "the ready line", seconds)
        except AssertionError as exc:
            raise AssertionError(f"{exc}: {self.log}") from None
        line = out.readline()
        assert re.fullmatch(r"ready: http://\S+:\d+\n", line), line + self.log
        return line.split()[1]

    def finish(self, seconds: float = 30) -> tuple[int, str]:
        """Wait for the end; returns the exit status and what stdout still held."""
        rest, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, rest

    def family(self) -> dict[int, str]:
        """The pids of all descendants, with their titles."""
        table = processes()
        found: dict[int, str] = {}
        parents = {self.process.pid}
        while parents:
            parents = {pid for pid, (parent, _, _) in table.items() if parent in parents} - found.keys()
            found |= {pid: table[pid][2] for pid in parents}
        return found

    def child(self, title: str) -> int:
        """The pid of the direct child with this title."""
        [pid] = [pid for pid, (parent, _, name) in processes().items() if parent == self.process.pid and title in name]
        return pid


def processes() -> dict[int, tuple[int, str, str]]:
    """pid -> parent, state, title."""
    shown = subprocess.run(["ps", "-axwwo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True)
    rows = (line.split(None, 3) for line in shown.stdout.splitlines())
    return {int(pid): (int(parent), state, "".join(title)) for pid, parent, state, *title in rows}


def left(pids: dict[int, str]) -> dict[int, str]:
    """Those of `pids` that still run; what has ended and waits for its parent does not count."""
    table = processes()
    return {pid: title for pid, title in pids.items() if pid in table and not table[pid][1].startswith("Z")}


@contextmanager
def up(data_dir: Path, *arguments: str, **environ: str) -> Iterator[Up]:
    started = Up(data_dir, *arguments, **environ)
    family: dict[int, str] = {}
    try:
        yield started
    finally:
        if started.process.poll() is None:
            family = started.family()
            started.process.terminate()
            try:
                started.finish()
            except subprocess.TimeoutExpired:
                for pid in (started.process.pid, *family):
                    os.kill(pid, signal.SIGKILL)
                raise
        if started.process.stdout:
            started.process.stdout.close()
    assert not left(family)
