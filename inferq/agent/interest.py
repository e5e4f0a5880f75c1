"""Who is asked for: when each model was used last, and since when one is asked for that nobody serves."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from shared.census import Demand


class Interest:
    """In the models of one machine."""

    def __init__(self) -> None:
        self.since: dict[str, float] = {}
        """Of models that nobody serves: when they began to be asked for (monotonic)."""
        self._used: dict[str, tuple[float, int]] = {}
        self._begun: dict[str, int] = {}

    def note(self, demand: Mapping[str, Demand], unserved: Iterable[str]) -> None:
        """Take in what is asked at this moment."""
        now = time.monotonic()
        for model, asked in demand.items():
            if asked.waiting or asked.running or self._begun.get(model) != asked.begun:
                self._used[model] = now, asked.asked
            self._begun[model] = asked.begun
        self.since = {model: self.since.get(model, now) for model in unserved}

    def last(self, model: str) -> tuple[float, int]:
        """When it was seen in use last (monotonic), and when its last request came, by Redis's clock in milliseconds:
        of those that were used between two looks, that tells who was last."""
        return self._used.get(model, (0.0, 0))
