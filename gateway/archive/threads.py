"""Threads in which the archive waits for disks, so that a process's other requests do not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

from gevent.threadpool import ThreadPool
from gevent.util import wrap_errors

T = TypeVar("T")

MOST_THREADS = 4
"""Of a process, for the archive's files."""


def apart(work: Callable[[], T], pool: ThreadPool | None = None) -> T:
    """What `work` returns or raises, done in one of them, or of those of another pool."""
    if pool is None:  # an idle one is false
        pool = _pool()
    found: T | Exception = pool.apply(wrap_errors(Exception, work))  # what left a thread would be printed
    if not isinstance(found, Exception):
        return found
    try:
        raise found
    finally:
        del found  # it knows this frame, which would keep it until a full garbage collection


@cache
def _pool() -> ThreadPool:
    return ThreadPool(MOST_THREADS)
