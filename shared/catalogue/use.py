"""Which models are in use on this machine, and when they last were: by a lock on a file for each, and its time."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing, suppress
from pathlib import Path

from shared import folders
from shared.file_lock import FileLock

_held: dict[Path, FileLock] = {}
"""By which this process says that it uses a model, until it ends."""


def note_use(path: Path) -> None:
    """The model in this file is in use from now on, until this process ends; as far as there is a place to say so."""
    with suppress(OSError):
        if (mark := _mark(path)) not in _held:
            mark.parent.mkdir(parents=True, exist_ok=True)
            _held[mark] = FileLock(mark)
            _held[mark].share()
        os.utime(mark)


def last_use(path: Path) -> float | None:
    """When it was last begun with (Unix time); None where nobody knows."""
    with suppress(OSError):
        return _mark(path).stat().st_mtime
    return None


def is_used(path: Path) -> bool:
    """Whether a process uses it."""
    with suppress(OSError), closing(FileLock(_mark(path), flags=os.O_RDWR)) as lock:
        return not lock.take()
    return False


def forget_use(path: Path) -> None:
    """It is gone."""
    with suppress(OSError):
        _mark(path).unlink()


def _mark(path: Path) -> Path:
    """Of whatever path leads to a file."""
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return folders.cache_if_any() / "models" / "used" / name
