"""What the agent tells everybody on its Redis: when something has changed, and else every few seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from redis import Redis

from shared import agents
from shared.agents import Agent, ModelOnDemand
from shared.version import VERSION

_AGAIN = 2.0
"""Seconds after which it is said again."""


class Notice:
    """That of one agent."""

    def __init__(self, client: Redis, name: str, host: str) -> None:
        self._client = client
        self._name, self._host = name, host
        self._models: Sequence[ModelOnDemand] = ()
        self._said = -_AGAIN

    def say(self, models: Sequence[ModelOnDemand], budget: int, free: int) -> None:
        """Raises what Redis does."""
        now = time.monotonic()
        if now - self._said < _AGAIN and models == self._models:
            return
        card = Agent(self._name, self._host, os.getpid(), budget, max(0, free), tuple(models), VERSION)
        agents.announce(self._client, card)
        self._models, self._said = models, now
