"""Who watches the overview. One loop a process looks for all of them, and only while there are any."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.keys import Keys, Owner
from gateway.overview import Overviews, scope
from gateway.schemas.openai import encode, render_failure
from gateway.schemas.outcomes import outcome
from shared.errors import StoreUnavailable, TooManyFollowers
from shared.loops import Loops
from shared.store import Outage

PERIOD = 2.0
"""Seconds between two looks."""
MOST_WATCHERS = 32
"""Connections on which the overview is watched, in one process: each owner's costs a look of its own."""
MOST_KEY_WATCHERS = 8
"""Those of one API key."""


class Watcher:
    """A connection. It gets the latest that there is: whoever reads slowly misses what lies between."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.over = False
        self._latest = b""
        self._changed = threading.Event()

    def give(self, frame: bytes) -> None:
        self._latest = frame
        self._changed.set()

    def end(self) -> None:
        """Its client has left, or may not see this any more."""
        self.over = True
        self._changed.set()

    def frames(self) -> Iterator[bytes]:
        """What it is given, until its end."""
        while True:
            self._changed.wait()
            self._changed.clear()
            if self.over:
                return
            yield self._latest


class Watchers:
    """Those of this process."""

    def __init__(self, overviews: Overviews, keys: Keys) -> None:
        self._overviews = overviews
        self._keys = keys
        self._watchers: set[Watcher] = set()
        self._wanted = threading.Event()

    def start(self, loops: Loops) -> None:
        loops.start("overview", self._look, pause=PERIOD)

    @contextmanager
    def admitted(self, owner: Owner) -> Iterator[Watcher]:
        """One more. Raises TooManyFollowers."""
        if len(self._watchers) >= MOST_WATCHERS:
            raise TooManyFollowers(f"{MOST_WATCHERS} connections watch the overview already, as many as may.")
        if owner.name and Counter(each.owner.name for each in self._watchers)[owner.name] >= MOST_KEY_WATCHERS:
            raise TooManyFollowers(
                f"This API key watches the overview on {MOST_KEY_WATCHERS} connections already, as many as it may."
            )
        watcher = Watcher(owner)
        self._watchers.add(watcher)
        self._wanted.set()
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if not self._watchers:
                self._wanted.clear()

    def _look(self) -> None:
        self._wanted.wait()
        for watcher in list(self._watchers):
            if self._keys and not self._may_see(watcher.owner):
                watcher.end()
        frames: dict[str, bytes] = {}
        for watcher in list(self._watchers):
            whose = scope(watcher.owner)
            frames[whose] = frames.get(whose) or self._frame(whose)
            watcher.give(frames[whose])

    def _may_see(self, owner: Owner) -> bool:
        """Keys go, and become others."""
        now = self._keys.named(owner.name)
        return now is not None and now.admin == owner.admin

    def _frame(self, whose: str) -> bytes:
        try:
            return frame("overview", self._overviews.news(whose))
        except Outage:
            lost = StoreUnavailable("What goes on cannot be told at the moment.")
            return frame("trouble", render_failure(lost, outcome(lost.code).status))


def frame(name: str, told: object) -> bytes:
    """A server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(told))
