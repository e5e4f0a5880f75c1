"""The data directory of `inferq up`: one owner at a time."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from inferq.errors import StartError
from shared.file_lock import FileLock

log = logging.getLogger("inferq.supervisor")


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
            f"the data directory {path} cannot be used: {exc.filename}: {exc.strerror}; choose one with --data-dir"
        ) from exc
    with closing(lock):
        if not lock.take():
            pid = _read(lock) or "unknown"
            raise StartError(
                f"the data directory {path} is in use by another `inferq up` (pid {pid}); choose one with --data-dir"
            )
        if (told := path.stat()).st_uid not in (os.geteuid(), 0) or stat.S_IMODE(told.st_mode) & 0o002:
            log.warning(
                "others may write to the data directory %s, and so read and change all of it; take one of yours", path
            )
        killed = bool(_read(lock))
        _write(lock, f"{os.getpid()}\n")
        try:
            yield killed
        finally:
            _write(lock, "")


def _read(lock: FileLock) -> str:
    return os.pread(lock.fd, 32, 0).decode(errors="replace").strip()


def _write(lock: FileLock, text: str) -> None:
    os.ftruncate(lock.fd, 0)
    os.pwrite(lock.fd, text.encode(), 0)
