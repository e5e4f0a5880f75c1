"""The data directory of `inferq up`: one owner at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inferq.errors import StartError


def default() -> Path:
    base = os.environ.get("XDG_DATA_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "share"
    return root / "inferq"


@contextmanager
def owned(path: Path) -> Iterator[bool]:
    """Make the directory and hold it. Yields True when its last owner was killed instead of leaving.

    Raises StartError when another process holds it, or when it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (path / "up.lock").open("a+")
    except OSError as exc:
        raise StartError(
            f"the data directory {path} cannot be used: {exc.strerror}; choose one with --data-dir"
        ) from exc
    with lock:
        lock.seek(0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = lock.read().strip() or "unknown"
            raise StartError(
                f"the data directory {path} is in use by another `inferq up` (pid {holder}); choose one with --data-dir"
            ) from exc
        killed = bool(lock.read())
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        try:
            yield killed
        finally:
            lock.truncate(0)
