"""Folders that a process works in, which do not stay behind for ever when it is killed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import closing
from pathlib import Path

from shared.file_lock import FileLock

_FOLDER = os.O_RDONLY | os.O_DIRECTORY


_ROOT = re.compile(r"[A-Za-z0-9/._-]{1,70}")
"""A unix socket's path has 104 bytes or a little more, so that of its folder's root must leave some."""


def socket_root() -> Path:
    """Where a folder for a unix socket may be made: the usual place, if its path is short and plain enough."""
    root = tempfile.gettempdir()
    return Path(root if _ROOT.fullmatch(root) else "/tmp")  # noqa: S108  # what is made there is a folder of mkdtemp


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
                self._lock = FileLock(self.path, flags=_FOLDER)
            except FileNotFoundError:
                continue
            except OSError:
                self.path.rmdir()
                raise
            self._lock.wait()
            if self.path.exists():
                return
            self._lock.close()  # somebody removed it before it was locked

    def remove(self) -> None:
        """Remove the folder with all that is in it. May be repeated."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _remove_abandoned(folder: Path) -> None:
    try:
        lock = FileLock(folder, flags=_FOLDER)
    except OSError:  # somebody else's, or no folder
        return
    with closing(lock):
        # Root could remove anybody's.
        if os.fstat(lock.fd).st_uid == os.geteuid() and lock.take():
            shutil.rmtree(folder, ignore_errors=True)
