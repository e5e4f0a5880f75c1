"""The folder in which the processes of one gateway keep their counts, so that none are lost with a process.

Each process has a place, the lowest that no living one has, and its files are named by it: a new process goes on with
the counts of a dead one, and there are never more files than there were processes at once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable
from itertools import count
from pathlib import Path

_PREFIX = "inferq-samples-"
_LOCK = "lock"


def free_place(taken: Iterable[int]) -> int:
    """The lowest place, from 0, that is not taken."""
    places = set(taken)
    return next(place for place in count() if place not in places)


def take_place(place: int) -> None:
    """Count in the files of a place from now on. Call it before any metric is made."""
    from prometheus_client import values  # reads the variable that `prepare` sets when it is imported

    values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]


def prepare() -> Path:
    """Make a new folder and tell prometheus-client, which reads the variable when it is imported.

    Folders of gateways that were killed are removed: theirs is the one lock that can be had.
    """
    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            with old.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(old.parent, ignore_errors=True)
        except OSError:  # it is in use, or somebody else's
            continue
    fresh = Path(tempfile.mkdtemp(prefix="inferq-new-"))
    descriptor = os.open(fresh / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)  # held until the last process has ended
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    folder = fresh.rename(fresh.with_name(_PREFIX + fresh.name.removeprefix("inferq-new-")))  # now with its lock
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return folder
