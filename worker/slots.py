"""The slots of a worker: threads that compute side by side."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from shared import logs

log = logging.getLogger(__name__)


class Slots:
    """Take one, then `occupy` it: it is free again when its work is done."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="slot")
        self._busy = 0
        self._lock = threading.Lock()
        # All of its threads run from now on: one that could not be started later would keep a job waiting for ever.
        barrier = threading.Barrier(count + 1)
        for _ in range(count):
            self._pool.submit(barrier.wait)
        barrier.wait()

    @property
    def busy(self) -> int:
        """How many do some work."""
        return self._busy

    def take(self, timeout: float = 0.0) -> bool:
        """Whether one became free within `timeout` seconds."""
        return self._free.acquire(timeout=timeout) if timeout else self._free.acquire(blocking=False)

    def give_back(self) -> None:
        """One that was taken is not needed."""
        self._free.release()

    def occupy(self, work: Callable[..., None], *arguments: Any) -> None:
        """Have one that was taken do some work."""
        with self._lock:
            self._busy += 1
        self._pool.submit(self._do, work, *arguments)

    def close(self) -> None:
        """Do what is being done to its end, and no more. Does not wait for that."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _do(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception:  # a slot that died would be missing for good
            log.exception("slot")
        finally:
            logs.bind()
            self._free.release()
            with self._lock:
                self._busy -= 1
