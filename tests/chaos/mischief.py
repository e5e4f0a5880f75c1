"""Makes faults and remembers them."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from random import Random

from tests.chaos.archive_faults import ArchiveFaults
from tests.chaos.clients import Client
from tests.chaos.demand_faults import DemandFaults
from tests.chaos.faults import Fault, Ground, Makers
from tests.chaos.house import House
from tests.chaos.prefix_faults import PrefixFaults
from tests.chaos.process_faults import GatewayFaults, HostFaults, WorkerFaults
from tests.chaos.redis_faults import RedisFaults
from tests.chaos.wire import Wire

EVERYTHING = "SIGKILL everything"


class Mischief:
    """All kinds of faults, by name."""

    def __init__(self, house: House, wire: Wire, clients: Collection[Client], lease: float, random: Random) -> None:
        self._house = house
        self._random = random
        self._healing: set[asyncio.Task[None]] = set()
        self.struck = Counter[str]()
        """The jobs whose worker was hurt, and how often."""
        self._ground = ground = Ground(house, wire, clients, lease, random, self._healing, self.struck)
        self._workers, self._gateway = WorkerFaults(ground), GatewayFaults(ground)
        of_redis = RedisFaults(ground).makers
        self._makers: Makers = {
            **self._workers.makers,
            **self._gateway.makers,
            **HostFaults(ground).makers,
            **of_redis,
            **DemandFaults(ground, of_redis).makers,
            **ArchiveFaults(ground).makers,
            **PrefixFaults(ground).makers,
            EVERYTHING: self._end_everything,
        }
        self.made: list[Fault] = []

    async def reign(self, menu: Sequence[str], low: float = 1.0, high: float = 3.0, answers: int = 0) -> None:
        """Make faults out of `menu` every `low` to `high` seconds, until cancelled, with so many `answers` between.

        The menu is gone through in random order again and again, the first of each kind before the second of any.
        What cannot be made at the moment is made as soon as it can.
        """
        schedule = Random(self._random.random())  # its own: how often the other draws depends on what is up
        due: list[str] = []
        while True:
            await asyncio.sleep(schedule.uniform(low, high))
            due = due or _shuffled(menu, schedule)
            for kind in due:
                if await self.make(kind):
                    due.remove(kind)
                    break
            wanted = self._ground.answered() + answers
            while self._ground.answered() < wanted:
                await asyncio.sleep(0.05)

    async def roll(self) -> None:
        """Stop one process after the other as a deploy does, each when the one before it serves again."""
        for child in (*self._house.workers, self._house.gateway):
            await child.serves()
            with suppress(TimeoutError):  # a fault that hits nothing proves nothing
                async with asyncio.timeout(5):
                    while child is not self._house.gateway and not await self._house.running_on(child):
                        await asyncio.sleep(0.02)
            if child is self._house.gateway:
                self._note(await self._gateway.end(signal.SIGTERM))
            else:
                self._note(await self._workers.end(child, signal.SIGTERM))
            await child.serves()

    async def make(self, kind: str) -> Fault | None:
        """None where there is nothing that could be hurt so at the moment."""
        return self._note(await self._makers[kind]())

    async def _end_everything(self) -> Fault | None:
        """All workers, the gateway and Valkey at once, but for what is down anyhow."""
        up = [worker for worker in self._house.workers if worker.up.is_set()]
        ends = [await self._workers.end(worker, signal.SIGKILL) for worker in up]
        ends += filter(None, [await self._gateway.end(signal.SIGKILL), await self._makers["SIGKILL valkey"]()])
        if not ends:
            return None
        fault = Fault(EVERYTHING, min(each.at for each in ends), max(each.hit for each in ends), stops_all=True)
        return self._ground.watch(fault, self._house.gateway, self._house.all_up())

    async def heal(self) -> None:
        """Wait until everything that was frozen or cut off goes on."""
        await asyncio.gather(*self._healing)

    def _note(self, fault: Fault | None) -> Fault | None:
        if fault:
            self.made.append(fault)
        return fault


def _shuffled(menu: Sequence[str], random: Random) -> list[str]:
    kinds, again = list(dict.fromkeys(menu)), list(menu)
    for kind in kinds:
        again.remove(kind)
    return random.sample(kinds, len(kinds)) + random.sample(again, len(again))
