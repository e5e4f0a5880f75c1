"""Gateways and workers of two releases on one Redis, each of them replaced when the course says so."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos.child import Child
from tests.chaos.faults import Fault
from tests.chaos.house import Crew, House, Parts, serves
from tests.stack import Process, free_port
from tests.upgrade.balancer import Gateway
from tests.upgrade.sides import Side


class Pair(Parts):
    """A stack whose processes are those of either release."""

    def __init__(self, directory: Path, side: Side, **settings: Any) -> None:
        super().__init__(directory, **settings)
        self.side = side
        """Whose processes are started next."""
        self.sides: dict[int, Side] = {}
        """Whose each process is, by its pid."""

    def spawn(self, *arguments: str, **settings: Any) -> Process:
        command = [*self.side.command, *arguments]
        process = self._start(command, env=self.side.environ({**self.settings, **settings}), cwd=self.side.folder)
        self.sides[process.pid] = self.side
        return process


class Fleet(House):
    """Valkey, two gateways and workers, at first of the side that their stack has."""

    stack: Pair

    def __init__(self, stack: Pair, crews: Mapping[str, Crew], key: str) -> None:
        """`key`: an API key of theirs."""
        super().__init__(stack, crews)
        port = free_port()
        spawn = partial(stack.spawn, "gateway", gateway_processes=2, port=port)
        self.second = Child("gateway 2", spawn, _serves(port, key), spawn(), may_start=lambda: not _is_taken(port))
        self.gateway.is_up = _serves(stack.port, key)
        self._spawns: dict[Child, Callable[[], Process]] = {}
        """What has started each at first: of whichever side is next."""
        self.gateways = (Gateway(self.gateway, stack.port), Gateway(self.second, port))

    @property
    def children(self) -> list[Child]:
        return [*super().children, self.second]

    async def replace(self, child: Child, side: Side, number: signal.Signals) -> Fault:
        """End a process, a worker if possible under a running job, and have one of a side in its place."""
        await child.serves()
        if child in self.workers:
            with suppress(TimeoutError):
                async with asyncio.timeout(10):
                    while not await self.running_on(child):
                        await asyncio.sleep(0.02)
        spawn = self._spawns.setdefault(child, child.spawn)

        def start() -> Process:
            self.stack.side = side
            return spawn()

        child.spawn = start
        fault = Fault(f"{number.name} {child.name.split()[0]}", time.monotonic(), len(await self.running_on(child)))
        child.hurt(number)
        await child.serves()
        fault.until = time.monotonic()
        return fault

    def gateways_of(self, side: Side) -> list[Gateway]:
        return [gateway for gateway in self.gateways if self.stack.sides[gateway.child.pid] is side]

    def side(self, pid: int) -> str:
        return self.stack.sides[pid].name


def _serves(port: int, key: str) -> Callable[[Process], Awaitable[bool]]:
    return lambda process: serves(port, key)


def _is_taken(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0
