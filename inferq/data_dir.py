"""The data directory of `inferq up`: one owner at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from inferq.errors import StartError
from shared.file_lock import FileLock


@contextmanager
def hold(path: Path) -> Iterator[bool]:
    """Make the directory and hold it. Yields True when its last owner was killed instead of leaving.

    Raises StartError when another process holds it, or when it cannot be made.
    """
    owner = path / "up.lock"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(owner)
    except OSError as exc:
        raise StartError(
            f"the data directory {path} cannot be used: {exc.strerror}; choose one with --data-dir"
        ) from exc
    with closing(lock):
        if not lock.take():
            pid = owner.read_text().strip() or "unknown"
            raise StartError(
                f"the data directory {path} is in use by another `inferq up` (pid {pid}); choose one with --data-dir"
            )
        killed = bool(owner.read_text())
        owner.write_text(f"{os.getpid()}\n")
        try:
            yield killed
        finally:
            owner.write_text("")
