"""Who may use the cells of llama.cpp's KV cache.

The slots share as many cells, one a token, as one context has, and when they run out llama.cpp fails every running
request. So a run enters only when the cells suffice for what it and the others have now and will have soon, and when
they have grown too much the youngest leaves, to go on from where it was once there is room again.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.errors import JobCancelled

_arrivals = itertools.count()


@dataclass(eq=False, slots=True)
class Claim:
    """One run's use of the cells: `tokens` now, `most` at its end."""

    tokens: int = 0
    most: int = 0
    arrival: int = field(default_factory=lambda: next(_arrivals))


class Cells:
    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._ahead = capacity // 32  # tokens that a run can be sure of when it enters
        self._spare = capacity // 128  # tokens that it may still add before somebody has left
        self._changed = threading.Condition()
        self._inside: set[Claim] = set()
        self._waiting: set[Claim] = set()

    def enter(self, claim: Claim, cancelled: Callable[[], bool]) -> None:
        """Wait, in the order of arrival, until there is room. A claim that is inside gives its cells back first.

        Raises JobCancelled soon after `cancelled()` turns true.
        """
        with self._changed:
            self._inside.discard(claim)
            self._waiting.add(claim)
            self._changed.notify_all()
            try:
                while claim is not min(self._waiting, key=_arrival) or not self._suffice(self._ahead, claim):
                    if cancelled():
                        raise JobCancelled("cancelled while it waited for memory")
                    self._changed.wait(0.1)
                self._inside.add(claim)
            finally:
                self._waiting.remove(claim)
                self._changed.notify_all()

    def leave(self, claim: Claim) -> None:
        with self._changed:
            self._inside.discard(claim)
            self._changed.notify_all()

    def grow(self, claim: Claim, tokens: int) -> bool:
        """Note how many tokens a claim has now. False: its owner has to make room, by stopping and entering again."""
        with self._changed:
            claim.tokens = tokens
            ends = tokens >= claim.most
            return ends or self._suffice(self._spare) or claim is not max(self._inside, key=_arrival)

    def _suffice(self, more: int, newcomer: Claim | None = None) -> bool:
        """Whether everybody can have `more` tokens. One alone always can: its context is not larger."""
        claims = [*self._inside, newcomer] if newcomer else [*self._inside]
        return len(claims) == 1 or sum(min(c.tokens + more, c.most) for c in claims) <= self._capacity


def _arrival(claim: Claim) -> int:
    return claim.arrival
