"""What many may ask at once, and is found out for all of them together."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Asks one question at a time. Who comes meanwhile has the next answer, with all others who do: none is stale."""

    def __init__(self, ask: Callable[[], T]) -> None:
        """What `ask` raises is raised to one, and the next asks anew."""
        self._ask = ask
        self._lock = Lock()
        self._answers: list[T] = []
        self._begun = 0.0

    def __call__(self) -> T:
        came = time.monotonic()
        with self._lock:
            if not self._answers or self._begun < came:
                self._begun = time.monotonic()
                self._answers = []
                self._answers = [self._ask()]
            return self._answers[0]
