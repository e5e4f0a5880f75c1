"""Faults of workers, engine hosts and gateways: they are killed, stopped and frozen, and lose their connections."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from functools import partial
from os import kill
from pathlib import Path

from tests.chaos.child import Child
from tests.chaos.faults import Fault, Ground, Makers
from tests.chaos.forms import SCORED
from tests.stack import Process, children, scoring_hosts

HOST_PATIENCE = 120.0
"""Seconds within which a worker has to notice that its engine host is frozen: ten of its longest gaps, for each of the
steps that it was asked for, which while tokens are told one by one may be a dozen."""
_APART = 15.0
"""Seconds between two faults of one worker's engine host: it has to be sound before it dies again."""
_UNUSED = 10.0
"""Seconds in which no job needs a frozen host, after which nobody would notice it."""
_FRESH, _COUNTED_AFTER = 0.5, 0.9
"""Seconds: a stream runs when it has brought something within the first; by the second a fault shows in it."""


class WorkerFaults:
    """Of workers."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.makers: Makers = {
            "SIGKILL worker": lambda: self._random(signal.SIGKILL),
            "SIGTERM worker": lambda: self._random(signal.SIGTERM),
            "SIGSTOP worker": self._freeze,
        }

    async def end(self, worker: Child, number: signal.Signals) -> Fault:
        """Kill or stop this one."""
        jobs = await self._ground.house.running_on(worker)
        fault = Fault(f"{number.name} worker", time.monotonic(), len(jobs))
        worker.hurt(number)
        self._ground.struck.update(jobs)
        if number is signal.SIGKILL:
            self._ground.strike(jobs, fault.at)
        return self._ground.watch(fault, worker)

    async def _random(self, number: signal.Signals) -> Fault | None:
        worker = await self._ground.pick_needed(self._ground.house.workers)
        return await self.end(worker, number) if worker else None

    async def _freeze(self) -> Fault | None:
        worker = await self._ground.pick_needed(self._ground.replaceable())
        if worker is None:
            return None
        jobs = await self._ground.house.running_on(worker)
        fault = Fault("SIGSTOP worker", time.monotonic(), len(jobs))
        worker.hurt(signal.SIGSTOP)
        self._ground.struck.update(jobs)
        self._ground.strike(jobs, fault.at)
        return self._ground.watch(fault, worker, worker.thaw_after(3 * self._ground.lease))


class HostFaults:
    """Of engine hosts, and of those that score. A second death under a job is taken for the job's fault, so none gets
    two."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._hurt: dict[Child, float] = {}
        self._struck: set[str] = set()
        self.makers: Makers = {
            f"{number.name} {kind}": partial(self._hurt_one, number, kind)
            for number in (signal.SIGKILL, signal.SIGSTOP)
            for kind in ("engine host", "scoring host")
        }

    async def _hurt_one(self, number: signal.Signals, kind: str) -> Fault | None:
        now = time.monotonic()
        worker = self._ground.pick([w for w in self._ground.house.workers if now - self._hurt.get(w, 0) > _APART])
        if worker is None or not (hosts := _hosts(worker.process, scoring=kind == "scoring host")):
            return None
        jobs = await self._users(worker, kind)
        if jobs & self._struck or (kind == "scoring host" and not jobs):
            return None
        host = hosts.pop()
        fault = Fault(f"{number.name} {kind}", time.monotonic(), len(jobs))
        with suppress(ProcessLookupError):
            kill(host, number)
        self._hurt[worker] = fault.at
        self._struck |= jobs | await self._ground.house.running_on(worker)  # one may have begun meanwhile
        if number is signal.SIGKILL:
            return self._ground.watch(fault, worker, asyncio.sleep(3))
        return self._ground.watch(fault, worker, self._noticed(fault, worker, kind, host))

    async def _users(self, worker: Child, kind: str) -> set[str]:
        """The jobs on a worker that need such a host."""
        jobs = await self._ground.house.running_on(worker)
        if kind == "scoring host":
            jobs &= {client.job for client in self._ground.clients if client.request.form in SCORED}
        return jobs

    async def _noticed(self, fault: Fault, worker: Child, kind: str, host: int) -> None:
        """Wait until the worker has killed its frozen host, or has ended itself; else let the host go on.

        So it does where nobody needs the host any more, which is not missed then.
        """
        process, needed = worker.process, fault.at
        while process.poll() is None and host in await asyncio.to_thread(children, process):
            now = time.monotonic()
            needed = now if await self._users(worker, kind) else needed
            if now - fault.at > HOST_PATIENCE:
                fault.unnoticed = f"no worker noticed within {HOST_PATIENCE:.0f} s: {fault.kind}"
            if fault.unnoticed or now - needed > _UNUSED:
                break
            await asyncio.sleep(0.5)
        self._hurt[worker] = time.monotonic()
        with suppress(ProcessLookupError):
            kill(host, signal.SIGCONT)  # it also outlives a killed worker until it wakes


def _hosts(worker: Process, *, scoring: bool) -> set[int]:
    """Those that score, or the others; none that is still being started, which may take long."""
    scorers = scoring_hosts(worker)
    return set(filter(_listens, scorers)) if scoring else children(worker) - scorers


def _listens(pid: int) -> bool:
    try:
        return any(str(file.readlink()).startswith("socket:") for file in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


class GatewayFaults:
    """Of the gateway and its connections."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.makers: Makers = {
            "SIGKILL gateway process": self._kill_process,
            "SIGSTOP gateway process": self._freeze_process,
            "SIGKILL gateway arbiter": lambda: self.end(signal.SIGKILL),
            "SIGTERM gateway": lambda: self.end(signal.SIGTERM),
            "cut connections": self._cut,
        }

    async def end(self, number: signal.Signals) -> Fault | None:
        """Kill or stop all of it."""
        gateway = self._ground.house.gateway
        if not gateway.up.is_set():
            return None
        if number is signal.SIGKILL:
            return await self._strike("SIGKILL gateway arbiter", lambda: gateway.hurt(number), gateway.up.wait)
        running, now = set(await self._ground.house.running()), time.monotonic()
        fault = Fault("SIGTERM gateway", now, self._asked_by(self._ground.wire.open(), running), stops_all=True)
        gateway.hurt(number)
        return self._ground.watch(fault, gateway)

    async def _kill_process(self) -> Fault | None:
        process = self._one_process()
        if process is None:
            return None
        return await self._strike("SIGKILL gateway process", lambda: kill(process, signal.SIGKILL))

    async def _strike(
        self, kind: str, strike: Callable[[], None], over: Callable[[], Awaitable[object]] | None = None
    ) -> Fault:
        """It hit those running jobs whose clients lost their connection by it, until it is `over`."""
        ground = self._ground
        running, known = set(await ground.house.running()), len(ground.wire.broken)
        fault = Fault(kind, time.monotonic(), 0, stops_all=over is not None)
        with suppress(ProcessLookupError):
            strike()

        async def count() -> None:
            await (over() if over else asyncio.sleep(_COUNTED_AFTER))
            fault.hit = self._asked_by({whose for _, whose in ground.wire.broken[known:]}, running)

        return ground.watch(fault, ground.house.gateway, count())

    async def _freeze_process(self) -> Fault | None:
        """It hit those running jobs whose streams stood still from then on."""
        ground, process = self._ground, self._one_process()
        if process is None:
            return None
        running = set(await ground.house.running())
        fault = Fault("SIGSTOP gateway process", time.monotonic(), 0, stops_all=True)
        frozen = ground.random.uniform(2, 6)
        with suppress(ProcessLookupError):
            kill(process, signal.SIGSTOP)

        async def thaw() -> None:
            await asyncio.sleep(_COUNTED_AFTER)
            fault.hit = self._asked_by(ground.wire.heard_last(fault.at - _FRESH, fault.at + 0.2), running)
            await asyncio.sleep(frozen - _COUNTED_AFTER)
            with suppress(ProcessLookupError):
                kill(process, signal.SIGCONT)

        return ground.watch(fault, ground.house.gateway, thaw())

    async def _cut(self) -> Fault | None:
        running = await self._ground.house.running()
        cut = self._ground.wire.cut(self._ground.random, 4)
        if not cut:
            return None
        now = time.monotonic()
        return Fault("cut connections", now, self._asked_by(cut, running), now)

    def _asked_by(self, names: Collection[str], running: Collection[str]) -> int:
        """How many running jobs these clients wait for."""
        return sum(client.job in running for client in self._ground.clients if client.name in names)

    def _one_process(self) -> int | None:
        pids = self._ground.house.gateway_processes()
        return self._ground.random.choice(pids) if self._ground.house.gateway.up.is_set() and pids else None
