"""How far something is that may take long: each step of it tells whoever listens, every few seconds.

The steps are taken deep down, where files are read; who listens stands at the top, where somebody waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

PERIOD = 5.0
"""Seconds after which a step tells how far it is, for the first time and again."""
FETCHING = "it is being fetched"
"""The step in which bytes of a model arrive."""

_listener: ContextVar[tuple[Callable[[Step], object], float] | None] = ContextVar("listener", default=None)


@contextmanager
def listen(tell: Callable[[Step], object], period: float = PERIOD) -> Iterator[None]:
    """Within, steps of this thread tell `tell` how far they are; it is called from others."""
    before = _listener.set((tell, period))
    try:
        yield
    finally:
        _listener.reset(before)


class Step:
    """One thing that is done, and how much of it; `str` says it in words without a path."""

    def __init__(self, what: str, total: int | None, measure: Callable[[], int] | None) -> None:
        self.what, self.total, self.done = what, total, 0
        self._measure = measure
        self._begun = time.monotonic()

    def advance(self, size: int) -> None:
        """So many bytes more are done."""
        self.done += size

    def reached(self) -> int:
        """Bytes that are done."""
        return self._measure() if self._measure else self.done

    def __str__(self) -> str:
        done = self.reached()
        if not done:
            return f"{self.what} ({time.monotonic() - self._begun:.0f} s)"
        if not self.total:
            return f"{self.what}: {_size(done)}"
        return f"{self.what}: {min(99, 100 * done // self.total)} % of {_size(self.total)}"


@contextmanager
def step(what: str, total: int | None = None, measure: Callable[[], int] | None = None) -> Iterator[Step]:
    """Do one thing of `total` bytes. How many are done, `measure` says, or else the calls of `advance`."""
    taken, listener = Step(what, total, measure), _listener.get()
    if listener is None:
        yield taken
        return
    tell, period = listener
    from shared.loops import Loop  # with Redis's client, for which commands that nobody waits for need not wait

    over = threading.Event()

    def look() -> None:
        if not over.wait(period):
            tell(taken)

    loop = Loop("progress", look)
    loop.start()
    try:
        yield taken
    finally:
        loop.stop()
        over.set()
        loop.join(None)


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
