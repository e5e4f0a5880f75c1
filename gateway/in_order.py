"""Work that is done side by side, whose last steps follow one another."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from gevent.event import Event


class InOrder:
    """The order of some that are known by their ids."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._passed = {each: Event() for each in ids}
        self._before = dict(pairwise(reversed(self._passed)))

    def take_turn(self, one: str) -> None:
        """Wait until all before it have passed, and pass. What it does until it waits again is done before the next
        one's."""
        if one in self._before:
            self._passed[self._before[one]].wait()
        self._passed[one].set()

    def leave(self, one: str) -> None:
        """It has passed, or never will: nobody waits for it."""
        self._passed[one].set()
