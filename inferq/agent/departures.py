"""Models that this machine offers no longer, for whose sake requests may still wait."""

from __future__ import annotations

import time
from collections.abc import Iterable

_GRACE = 10.0
"""Seconds within which a file may come again, as when it is replaced."""
_WATCHED = 600.0
"""Seconds for which requests may still come: gateways know a model some minutes longer than it is offered."""


class Departures:
    """Of one machine."""

    def __init__(self) -> None:
        self._offered: frozenset[str] = frozenset()
        self._gone: dict[str, float] = {}
        """When these went (monotonic)."""

    def look(self, offered: Iterable[str]) -> None:
        """Take in what is offered now."""
        now, here = time.monotonic(), frozenset(offered)
        self._gone |= dict.fromkeys(self._offered - here, now)
        self._gone = {model: at for model, at in self._gone.items() if model not in here and now - at < _WATCHED}
        self._offered = here

    def gone(self) -> list[str]:
        """Those that have not come again within the grace."""
        now = time.monotonic()
        return [model for model, at in self._gone.items() if now - at > _GRACE]
