"""A control group with little memory: what a process in it may take, has taken at most, and whether one was killed."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

_TOP = Path("/sys/fs/cgroup")
_V2 = (_TOP / "cgroup.controllers").exists()
_SAMPLED = 0.01
"""Seconds."""


class MemoryGroup:
    """Raises OSError where none can be made, or no bound be set."""

    def __init__(self, limit: int) -> None:
        self.path = (_TOP if _V2 else _TOP / "memory") / f"inferq-test-{os.getpid()}-{time.monotonic_ns()}"
        self.path.mkdir()
        self.most = 0
        """Bytes that were in use at once at most: of processes, and of the files that one of them has mapped."""
        try:
            self._write("memory.max" if _V2 else "memory.limit_in_bytes", limit)
            with suppress(OSError):  # what swaps is not killed
                self._write("memory.swap.max" if _V2 else "memory.memsw.limit_in_bytes", 0 if _V2 else limit)
        except OSError:
            self.path.rmdir()
            raise
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def __enter__(self) -> MemoryGroup:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._watcher.join()
        for _try in range(100):
            with suppress(OSError):
                self.path.rmdir()
                return
            time.sleep(0.1)

    @property
    def entry(self) -> Path:
        """Whoever writes its pid into it enters."""
        return self.path / "cgroup.procs"

    @property
    def killed(self) -> int:
        """How many processes were killed for want of memory."""
        name = "memory.events" if _V2 else "memory.oom_control"
        told = dict(line.split() for line in (self.path / name).read_text().splitlines())
        return int(told["oom_kill"])

    def in_use(self) -> int:
        told = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        files = 0  # a page of a file counts in the group that read it first; here, in all that have mapped it
        for pid in self.entry.read_text().split():
            with suppress(OSError, IndexError):
                status = Path("/proc", pid, "status").read_text()
                files = max(files, int(status.partition("RssFile:")[2].split()[0]) * 1024)
        return int(told["anon" if _V2 else "total_rss"]) + files

    def _watch(self) -> None:
        while not self._closed.wait(_SAMPLED):
            self.most = max(self.most, self.in_use())

    def _write(self, name: str, value: int) -> None:
        (self.path / name).write_text(str(value))


def why_not() -> str:
    """Why no such group can be made here; empty where it can."""
    try:
        with MemoryGroup(64 << 20):
            return ""
    except OSError as exc:
        return f"no control group with a bound on memory can be made here: {exc}"
