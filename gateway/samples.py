"""The folder in which the processes of one gateway keep their counts, so that none are lost with a process.

Each process has a place, the lowest that no living one has, and its files are named by it: a new process goes on with
the counts of a dead one, and there are never more files than there were processes at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from shared.scratch import Scratch


def free_place(taken: Iterable[int]) -> int:
    """The lowest place, from 0, that is not taken."""
    places = set(taken)
    return next(place for place in count() if place not in places)


def take_place(place: int) -> None:
    """Count in the files of a place from now on. Call it before any metric is made."""
    from prometheus_client import values  # reads the variable that `prepare` sets when it is imported

    values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]  # it has no annotations


def prepare() -> Path:
    """Make a new folder, which lives until the last process has ended, and tell prometheus-client of it.

    That reads the variable when it is imported.
    """
    folder = Scratch("inferq-counts-").path
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return folder
