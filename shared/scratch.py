"""Folders that a process works in, which do not stay behind for ever when it is killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path


class Scratch:
    """A new private folder, `path`, that belongs to this process and its forks for as long as they live.

    They hold a lock on it. The next one of the same `prefix` removes those whose lock can be had: their owners were
    killed. The lock is on the folder itself, as it also keeps systemd-tmpfiles from taking an old one away.
    """

    def __init__(self, prefix: str, root: Path | None = None) -> None:
        """Raises OSError."""
        root = root or Path(tempfile.gettempdir())
        for old in root.glob(f"{prefix}*"):
            _remove_abandoned(old)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
            try:
                self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue
            except OSError:
                self.path.rmdir()
                raise
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if self.path.exists():
                return
            os.close(self._lock)  # somebody removed it before it was locked

    def remove(self) -> None:
        """Remove the folder with all that is in it. May be repeated."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _remove_abandoned(folder: Path) -> None:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # somebody else's, or no folder
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # it is in use
        return
    finally:
        os.close(lock)
