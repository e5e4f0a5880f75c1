"""The slots of a worker: threads that compute side by side."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from shared import logs

log = logging.getLogger(__name__)

Work = Callable[[], object]


class Slots:
    """Take one, then `occupy` it: it is free again when its work is done."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)
        self._count = count
        self._closed = False
        # All of its threads run from now on: one that could not be started later would keep a job waiting for ever.
        self._idle = [_SlotThread(f"slot_{number}", self._serve) for number in range(count)]

    @property
    def busy(self) -> int:
        """How many do some work."""
        return self._count - len(self._idle)

    def take(self, timeout: float = 0.0) -> bool:
        """Whether one became free within `timeout` seconds."""
        return self._free.acquire(timeout=timeout) if timeout else self._free.acquire(blocking=False)

    def give_back(self) -> None:
        """One that was taken is not needed."""
        self._free.release()

    def occupy(self, work: Callable[..., object], *arguments: Any) -> None:
        """Have one that was taken do some work."""
        self._idle.pop().give(partial(work, *arguments))

    def close(self) -> None:
        """Do what is being done to its end, and no more. Does not wait for that."""
        self._closed = True
        for thread in tuple(self._idle):
            thread.give(None)

    def _serve(self, thread: _SlotThread) -> None:
        while not self._closed and (work := thread.take()):
            try:
                work()
            except Exception:  # a slot that died would be missing for good
                log.exception("slot")
            finally:
                logs.bind()
                self._idle.append(thread)
                self._free.release()


class _SlotThread:
    """The thread of one slot, which is woken alone: those of a pool wake each other to see who takes it.

    A process that ends does not wait for it.
    """

    def __init__(self, name: str, serve: Callable[[_SlotThread], None]) -> None:
        self._work: Work | None = None
        self._given = threading.Semaphore(0)
        threading.Thread(target=serve, args=(self,), name=name, daemon=True).start()

    def give(self, work: Work | None) -> None:
        self._work = work
        self._given.release()

    def take(self) -> Work | None:
        """What it is given next; nothing where there is no more to be done."""
        self._given.acquire()
        work, self._work = self._work, None
        return work
