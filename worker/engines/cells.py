"""Who may use the cells of llama.cpp's KV cache.

The slots share as many cells, one a token, as one context has, and when they run out llama.cpp fails every running
request. So a run enters only when the cells suffice for what it and the others have now and will have soon, and when
they have grown too much the youngest leaves, to go on from where it was once there is room again.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.cancellation import NEVER, Cancellable, wait_for

_arrivals = itertools.count()


@dataclass(eq=False, slots=True)
class Share:
    """One run's use of the cells: `tokens` now, `most` at its end, which may be fewer than it has found there.

    One that `stays` could not go on where it has left off: it has all of its cells from the beginning.
    """

    tokens: int = 0
    most: int = 0
    stays: bool = False
    barred: bool = False
    """It may not enter: what it has had of the cells is being emptied."""
    arrival: int = field(default_factory=lambda: next(_arrivals))

    def soon(self, more: int) -> int:
        """How many it has when it has so many more."""
        return max(self.tokens, self.most if self.stays else min(self.tokens + more, self.most))


class Cells:
    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._ahead = capacity // 32  # tokens that a run can be sure of when it enters
        self._spare = capacity // 128  # tokens that it may still add before somebody has left
        self._changed = threading.Condition()
        self.on_enter: Callable[[], None] = lambda: None
        """Called when a share has entered, and before it uses its cells."""
        self._inside: set[Share] = set()
        self._waiting: set[Share] = set()

    @property
    def busy(self) -> bool:
        """Whether somebody is inside."""
        return bool(self._inside)

    def enter(self, share: Share, work: Cancellable = NEVER, until: float = math.inf) -> bool:
        """Wait, in the order of arrival, for room. One that is inside gives its cells back first, unless it can have
        what it wants now.

        False when there is none soon after `until` (monotonic). Raises JobCancelled soon after `work` is cancelled.
        """
        with self._changed:
            stays = share in self._inside
            self._inside.discard(share)
            stays = stays and self._suffice(self._ahead, share)
            self._waiting.add(share)
            self._changed.notify_all()
            try:
                entered = stays or wait_for(self._changed, lambda: self._may_enter(share), work, until)
                if entered:
                    self._inside.add(share)
            finally:
                self._waiting.remove(share)
                self._changed.notify_all()
        if entered:
            self.on_enter()
        return entered

    def leave(self, share: Share) -> None:
        with self._changed:
            self._inside.discard(share)
            self._changed.notify_all()

    def bar(self, share: Share) -> bool:
        """Keep one that is outside from entering, until it is admitted; False where it is inside."""
        with self._changed:
            share.barred = share not in self._inside
            return share.barred

    def admit(self, share: Share) -> None:
        with self._changed:
            share.barred = False
            self._changed.notify_all()

    def grow(self, share: Share, tokens: int) -> bool:
        """Note how many tokens a run has now. False: its owner has to make room, by stopping and entering again."""
        with self._changed:
            share.tokens = tokens
            if share.stays or tokens >= share.most or self._suffice(self._spare):
                return True
            return share is not max((other for other in self._inside if not other.stays), key=_arrival)

    def left(self) -> int:
        """How many the runs that are inside do not need soon."""
        with self._changed:
            return self._capacity - sum(each.soon(self._ahead) for each in self._inside)

    def _may_enter(self, share: Share) -> bool:
        first = share is min(self._waiting, key=_arrival)
        return first and not share.barred and self._suffice(self._ahead, share)

    def _suffice(self, more: int, newcomer: Share | None = None) -> bool:
        """Whether everybody can have `more` tokens. One alone always can: its context is not larger."""
        shares = [*self._inside, newcomer] if newcomer else [*self._inside]
        return len(shares) == 1 or sum(each.soon(more) for each in shares) <= self._capacity


def _arrival(share: Share) -> int:
    return share.arrival
