"""The agent's part of `inferq up`: it works in a thread of its own, as files and Redis may keep it waiting."""

from __future__ import annotations

import hashlib
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from inferq.agent.agent import PAUSE, MachineAgent
from inferq.agent.stock import Stock
from inferq.agent.tenant import Spawn
from shared import agents, store
from shared.card import Card
from shared.catalogue import Model
from shared.config import Config
from shared.loops import Loop
from shared.pid_space import pid_space

log = logging.getLogger("inferq.agent")

_ALIVE = 2.0
"""Seconds after which it is said again that the agent lives."""


class Machine:
    """Offers what this machine has, until it is stopped."""

    def __init__(self, folder: Path, adapt: Callable[[Model], Model], spawn: Spawn) -> None:
        self._folder, self._adapt, self._spawn = folder, adapt, spawn
        self._agent: MachineAgent | None = None
        self._loops: list[Loop] = []

    def start(self, config: Config) -> None:
        """Once the Redis is known."""
        self._client = store.connect(config.redis_url, timeout=2.0, retries=1)
        mark = hashlib.sha256(f"{pid_space()} {self._folder.resolve()}".encode()).hexdigest()[:8]
        name = f"{socket.gethostname()}-{mark}"  # the same when it is started anew
        stock = Stock(config, self._adapt)
        self._agent = MachineAgent(name, self._client, stock, self._spawn, config, self._folder)
        self._loops = [
            Loop("agent", self._agent.step, pause=PAUSE),
            # A file may keep that one for longer than an agent is believed to live: its models stay in all lists.
            Loop("agent's life", partial(agents.renew, self._client, name), pause=_ALIVE),
        ]
        for loop in self._loops:
            loop.start()

    def outlines(self) -> list[Card]:
        """Of the models that are offered."""
        offers = self._agent.offers() if self._agent else []
        return [each.outline for each in offers if not each.reason]

    def pause(self) -> None:
        """Start nobody any more."""
        for loop in self._loops:
            loop.stop(5.0)

    def stop(self, patience: float) -> None:
        """End all workers, which have so many seconds for it."""
        if self._agent:
            self._agent.house.stop(patience)
            with suppress(*store.Outage):
                agents.withdraw(self._client, self._agent.name)

    def kill(self) -> None:
        """End all workers at once."""
        if self._agent:
            self._agent.house.kill()
