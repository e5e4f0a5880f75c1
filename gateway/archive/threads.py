"""Threads in which the archive waits for disks, so that a process's other requests do not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

from gevent.threadpool import ThreadPool

T = TypeVar("T")

MOST_THREADS = 4
"""Of a process, for the archive's files."""


def apart(work: Callable[[], T]) -> T:
    """What `work` returns or raises, done in one of them."""
    found: T = _pool().apply(work)
    return found


@cache
def _pool() -> ThreadPool:
    return ThreadPool(MOST_THREADS)
