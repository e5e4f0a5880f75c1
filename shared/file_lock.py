"""A lock between processes: it ends with whoever holds it, however that one ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from shared.regular_file import open_descriptor

_PERIOD = 0.02
"""Seconds between two tries, where the wait has an end."""
PATIENCE, BYTES_A_SECOND = 120.0, 20_000_000
"""Seconds that others may write a large file before, and one more for each so many bytes of what they make it of."""


def patience(size: int) -> float:
    """Seconds in which others have made a file of so many bytes, unless they were stopped in that."""
    return PATIENCE + size / BYTES_A_SECOND


class FileLock:
    """An exclusive lock on a file, which is made if need be, or whatever else `flags` open. `with` waits for it.

    `fd` has the lock: a child that inherits it holds it too, also when this process has ended.
    """

    def __init__(
        self,
        path: Path,
        on_wait: Callable[[], object] = lambda: None,
        *,
        flags: int = os.O_RDWR | os.O_CREAT,
        mode: int = 0o600,
    ) -> None:
        """`on_wait` is called before a wait for somebody else who has it. Raises OSError."""
        self.fd = open_descriptor(path, flags | os.O_NOFOLLOW, mode)
        self._on_wait = on_wait

    def take(self) -> bool:
        """Take it if it is free this moment; whether it is ours now."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def share(self) -> bool:
        """Take it together with others who do so, if nobody has it alone; whether it is ours now too."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait(self, timeout: float | None = None) -> bool:
        """Take it as soon as it is free; False when it is not for `timeout` seconds."""
        if self.take():
            return True
        self._on_wait()
        if timeout is None:
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            return True
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            time.sleep(_PERIOD)
            if self.take():
                return True
        return False

    @property
    def holder(self) -> str:
        """Who has it, as far as this machine tells it to us."""
        with suppress(OSError):
            inode = str(os.fstat(self.fd).st_ino)
            for line in Path("/proc/locks").read_text().splitlines():
                match line.split():
                    case [_, "FLOCK", _, "WRITE", pid, place, *_] if place.rpartition(":")[2] == inode and int(pid) > 0:
                        return f"process {pid}"
        return "another process"

    def close(self) -> None:
        """Give it up, as far as no child holds it. May be repeated."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> FileLock:
        self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
