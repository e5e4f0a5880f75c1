"""Whether a host that has work gives signs of life, measured against its own pace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LEAST = 10.0
"""Seconds of silence that are always allowed."""
STILL = 30.0
"""Seconds of silence in which a host computes nothing at all, after which it is frozen, however long its steps are."""
MOST = 600.0
"""Seconds of silence a step that are allowed at most, unless the first guess at one was longer."""
_LONGER = 10
"""How many times the longest gap so far the next one may be."""
_FIRST_LONGER = 3
"""The same for the first guess at a step, which is high already."""


class Pulse:
    """Counts who waits for a host, and the time in which none of them got a sign of life from it.

    Time is counted by whoever calls `look`: while that one does not run, because the worker was stopped or the machine
    suspended, nobody could have heard the host either. A question that was given up does not end a silence, so that
    clients who leave early do not hide a host that hangs.

    On a busy machine gaps are long, and what they allow is longer. So it is also looked at how much a host computes,
    which an honest one does all the time, were it in a hundredth of a core.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[int, float]] = []
        self._beaten = False
        self._step = 0.0  # first guess at the seconds between two signs
        self._gap = 0.0  # longest so far
        self._silent = 0.0  # since the last sign
        self._still = 0.0  # of that, since it last computed anything
        self._spent = 0.0
        self._steps, self._seconds = 1, 0.0  # most that was allowed meanwhile

    def begin(self, step: float) -> None:
        """A new life, of which one step takes at most about `step` seconds."""
        with self._lock:
            self._step = step
            self._forget()

    @contextmanager
    def expect(self, steps: int = 1, seconds: float = 0.0) -> Iterator[None]:
        """Around each wait for the host, which may take so many steps, and seconds besides, before it can answer."""
        allowance = (steps, seconds)
        with self._lock:
            self._waiting.append(allowance)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.remove(allowance)

    def beat(self) -> None:
        """A sign of life has come."""
        self._beaten = True

    def look(self, elapsed: float, spent: float = 0.0) -> float:
        """`elapsed` seconds have passed since the last look. Returns how long the silence is, if it is too long.

        `spent` are the seconds of a processor's time that the host has had so far; 0 where nobody tells.
        """
        with self._lock:
            if self._beaten:
                self._gap = max(self._gap, (self._silent - self._seconds) / self._steps)
                self._forget()
            elif self._waiting:
                self._silent += elapsed
                self._still = self._still + elapsed if 0 < spent == self._spent else 0.0
                self._steps = max(self._steps, *(steps for steps, _ in self._waiting))
                self._seconds = max(self._seconds, *(seconds for _, seconds in self._waiting))
                guess = _FIRST_LONGER * self._step
                step = max(guess, min(_LONGER * self._gap, MOST))
                if self._still > STILL or self._silent > max(LEAST, step * self._steps) + self._seconds:
                    return self._silent
            self._spent = spent
        return 0.0

    def _forget(self) -> None:
        self._beaten = False
        self._silent, self._still, self._steps, self._seconds = 0.0, 0.0, 1, 0.0
