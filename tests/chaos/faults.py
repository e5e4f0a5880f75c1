"""The faults: each hurts a process at random, and counts whether it hit a job that was running on it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import kill
from random import Random

from tests.chaos.clients import Client
from tests.chaos.house import Child, House
from tests.chaos.wire import Wire
from tests.stack import children


@dataclass(slots=True)
class Fault:
    """Something that happened."""

    kind: str
    at: float
    hit: int
    """Running jobs that it hit."""
    until: float = float("inf")
    """When everything was up again."""
    stops_all: bool = False
    """It keeps every job from going on, not only those it hit."""


class Mischief:
    """Makes faults and remembers them."""

    def __init__(self, house: House, wire: Wire, clients: Collection[Client], lease: float, random: Random) -> None:
        self._house = house
        self._wire = wire
        self._clients = clients
        self._lease = lease
        self._random = random
        self._hosts_killed: dict[Child, float] = {}
        self._later: set[asyncio.Task[None]] = set()
        self.made: list[Fault] = []
        self.kinds: dict[str, Callable[[], Awaitable[Fault | None]]] = {
            "SIGKILL worker": lambda: self._worker(signal.SIGKILL),
            "SIGTERM worker": lambda: self._worker(signal.SIGTERM),
            "SIGSTOP worker": self._freeze_worker,
            "SIGKILL engine host": self._engine_host,
            "SIGKILL gateway process": self._gateway_process,
            "SIGKILL gateway arbiter": lambda: self._gateway(signal.SIGKILL),
            "SIGTERM gateway": lambda: self._gateway(signal.SIGTERM),
            "SIGKILL valkey": lambda: self._valkey(0.0),
            "SIGSTOP valkey": lambda: self._valkey(self._random.uniform(1, 5)),
            "cut connections": self._cut,
        }

    async def reign(self, menu: Sequence[str], low: float = 1.0, high: float = 3.0) -> None:
        """Make faults out of `menu` every `low` to `high` seconds, until cancelled."""
        schedule = Random(self._random.random())  # its own: how often the other draws depends on what is up
        while True:
            await asyncio.sleep(schedule.uniform(low, high))
            await self.make(schedule.choice(menu))

    async def roll(self) -> None:
        """Stop one process after the other as a deploy does, each when the one before it serves again."""
        for child in (*self._house.workers, self._house.gateway):
            await child.up.wait()
            with suppress(TimeoutError):  # a fault that hits nothing proves nothing
                async with asyncio.timeout(5):
                    while child is not self._house.gateway and not await self._house.running_on(child):
                        await asyncio.sleep(0.02)
            fault = await (
                self._gateway(signal.SIGTERM) if child is self._house.gateway else self._end(child, signal.SIGTERM)
            )
            if fault:
                self.made.append(fault)
            await child.up.wait()

    async def make(self, kind: str) -> Fault | None:
        """None where there is nothing that could be hurt so at the moment."""
        fault = await self.kinds[kind]()
        if fault:
            self.made.append(fault)
        return fault

    async def heal(self) -> None:
        """Wait until everything that was frozen goes on."""
        await asyncio.gather(*self._later)

    async def _worker(self, number: signal.Signals) -> Fault | None:
        worker = self._pick(self._house.workers)
        return await self._end(worker, number) if worker else None

    async def _end(self, worker: Child, number: signal.Signals) -> Fault:
        jobs = await self._house.running_on(worker)
        fault = Fault(f"{number.name} worker", time.monotonic(), len(jobs))
        worker.hurt(number)
        if number is signal.SIGKILL:
            self._strike(jobs, fault.at)
        return self._watch(fault, worker)

    async def _freeze_worker(self) -> Fault | None:
        worker = self._pick([each for each in self._house.workers if self._up(each) > 1])
        if worker is None:
            return None
        jobs, process = await self._house.running_on(worker), worker.process
        fault = Fault("SIGSTOP worker", time.monotonic(), len(jobs))
        worker.hurt(signal.SIGSTOP)
        self._strike(jobs, fault.at)

        async def thaw() -> None:
            await asyncio.sleep(3 * self._lease)
            process.send_signal(signal.SIGCONT)
            worker.up.set()

        return self._watch(fault, worker, thaw())

    def _up(self, worker: Child) -> int:
        """How many workers of its model are up."""
        model = worker.name.split()[1]
        return sum(each.up.is_set() for each in self._house.workers if each.name.split()[1] == model)

    async def _engine_host(self) -> Fault | None:
        """One whose death will be the first under its jobs: the second is taken for their fault."""
        now = time.monotonic()
        worker = self._pick([each for each in self._house.workers if now - self._hosts_killed.get(each, 0) > 15])
        if worker is None or not (hosts := children(worker.process)):
            return None
        self._hosts_killed[worker] = now
        jobs = await self._house.running_on(worker)
        fault = Fault("SIGKILL engine host", time.monotonic(), len(jobs), time.monotonic() + 3)
        kill(hosts.pop(), signal.SIGKILL)
        return fault

    async def _gateway_process(self) -> Fault | None:
        pids = self._house.gateway_processes()
        if not (self._house.gateway.up.is_set() and pids):
            return None
        return await self._gateway_fault(
            "SIGKILL gateway process", lambda: kill(self._random.choice(pids), signal.SIGKILL), restarts=False
        )

    async def _gateway(self, number: signal.Signals) -> Fault | None:
        gateway = self._house.gateway
        if not gateway.up.is_set():
            return None
        what = "gateway arbiter" if number is signal.SIGKILL else "gateway"
        return await self._gateway_fault(f"{number.name} {what}", lambda: gateway.hurt(number), restarts=True)

    async def _gateway_fault(self, kind: str, strike: Callable[[], None], *, restarts: bool) -> Fault:
        """It hit those running jobs whose clients lost their connection by it."""
        running, known = set(await self._house.running()), len(self._wire.broken)
        fault = Fault(kind, time.monotonic(), 0, stops_all=restarts)
        with suppress(ProcessLookupError):
            strike()

        async def count() -> None:
            await asyncio.sleep(0.9)  # the arbiter's processes outlive it for up to half a second
            lost = {whose for _, whose in self._wire.broken[known:]}
            fault.hit = sum(client.job in running for client in self._clients if client.name in lost)

        return self._watch(fault, self._house.gateway, count())

    async def _valkey(self, frozen: float) -> Fault | None:
        valkey = self._house.valkey
        if not valkey.up.is_set():
            return None
        running, process = await self._house.running(), valkey.process
        kind = "SIGSTOP valkey" if frozen else "SIGKILL valkey"
        fault = Fault(kind, time.monotonic(), len(running), stops_all=True)
        if not frozen:
            valkey.hurt(signal.SIGKILL)
            return self._watch(fault, valkey)
        valkey.hurt(signal.SIGSTOP)

        async def thaw() -> None:
            await asyncio.sleep(frozen)
            process.send_signal(signal.SIGCONT)
            valkey.up.set()

        return self._watch(fault, valkey, thaw())

    async def _cut(self) -> Fault | None:
        running = await self._house.running()
        cut = self._wire.cut(self._random, 4)
        if not cut:
            return None
        now = time.monotonic()
        hit = sum(client.job in running for client in self._clients if client.name in cut)
        return Fault("cut connections", now, hit, now)

    def _pick(self, workers: Sequence[Child]) -> Child | None:
        able = [worker for worker in workers if worker.up.is_set()]
        return self._random.choice(able) if able else None

    def _strike(self, jobs: Collection[str], at: float) -> None:
        for client in self._clients:
            if client.job in jobs:
                client.struck(at)

    def _watch(self, fault: Fault, child: Child, meanwhile: Awaitable[None] | None = None) -> Fault:
        """Note when the child is up again."""

        async def wait() -> None:
            if meanwhile:
                await meanwhile
            await child.up.wait()
            fault.until = time.monotonic()

        task = asyncio.create_task(wait())
        self._later.add(task)
        task.add_done_callback(self._later.discard)
        return fault
