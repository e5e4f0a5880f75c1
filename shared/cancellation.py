"""Cancellation: whoever computes, waits or reads is told by another thread that nobody wants the rest any more."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from shared.errors import JobCancelled

_PERIOD = 0.1
"""Seconds between two looks, where one waits for something else."""


class Cancellable(Protocol):
    """What may be cancelled, as those see it who work for it."""

    @property
    def cancelled(self) -> bool:
        """True when nobody wants the rest any more: raise `JobCancelled`, do nothing further."""

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Have `callback` called once, in the thread that cancels, as soon as it is cancelled; at once if it is."""

    def forget(self, callback: Callable[[], None]) -> None:
        """What was given to `on_cancel` need not be called any more; it may have been."""


class Cancellation:
    """A `Cancellable`, and the end by which it is cancelled."""

    def __init__(self) -> None:
        self._cancelled = False
        self._callbacks: list[Callable[[], None]] = []
        self._guard = threading.Lock()

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def on_cancel(self, callback: Callable[[], None]) -> None:
        with self._guard:
            if not self._cancelled:
                self._callbacks.append(callback)
                return
        callback()

    def forget(self, callback: Callable[[], None]) -> None:
        with self._guard:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

    def cancel(self) -> None:
        """May be repeated, and from any thread."""
        with self._guard:
            self._cancelled = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


class _Never:
    cancelled = False

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """It would never be called."""

    def forget(self, callback: Callable[[], None]) -> None:
        """Nothing is remembered."""


NEVER: Cancellable = _Never()
"""For what nobody can cancel."""


def check(work: Cancellable) -> None:
    """Raises JobCancelled once `work` is cancelled."""
    if work.cancelled:
        raise JobCancelled("The job was cancelled.")


def wait_for(
    changed: threading.Condition, ready: Callable[[], bool], work: Cancellable, until: float = math.inf
) -> bool:
    """Wait, holding `changed`, for `ready()`. False when that is not so soon after `until`, by the monotonic clock.

    Raises JobCancelled soon after `work` is cancelled.
    """
    while not ready():
        check(work)
        if time.monotonic() >= until:
            return False
        changed.wait(_PERIOD)
    return True


@contextlib.contextmanager
def aborting(connection: socket.socket, work: Cancellable) -> Iterator[None]:
    """Within `with`, the thread that reads from the connection is woken when `work` is cancelled.

    Raises JobCancelled where it is already. A job that asks many questions keeps none of their connections.
    """
    callback = partial(abort, connection)
    work.on_cancel(callback)
    try:
        check(work)
        yield
    finally:
        work.forget(callback)


def abort(connection: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    """Wake who reads from a connection, or writes to it; a callback for `on_cancel`."""
    with contextlib.suppress(OSError):  # it was closed just now
        connection.shutdown(how)
