"""Faults of models on demand: of workers while they load and after, of supervisors with their agents, of the files that
are loaded, and of Redis meanwhile.

Such a fault has hit the jobs that run there, and those that wait for a model that it keeps from being loaded.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.chaos.faults import Fault, Ground, Maker, Makers
from tests.chaos.machines import Machines, Resident

KILLED_LOADING, FROZEN_LOADING = "SIGKILL loading worker", "SIGSTOP loading worker"
KILLED, FROZEN, SENT_AWAY = "SIGKILL loaded worker", "SIGSTOP loaded worker", "loaded worker sent away"
AGENT_KILLED, AGENT_FROZEN, LOADER_KILLED = "SIGKILL supervisor", "SIGSTOP supervisor", "SIGKILL supervisor that loads"
MACHINE_APART, LESS_MEMORY = "partition machine", "less memory"
FILE_REPLACED, FILE_CUT, FILE_AWAY = "model file replaced", "model file cut", "model file away"
FILE_CUT_IN_PLACE = "model file cut in place"
OF_REDIS = ("SIGKILL valkey", "SIGSTOP valkey", "valkey a second back")
IN_A_LOAD = tuple(f"{kind} in a load" for kind in OF_REDIS)
DEMAND = (
    *(KILLED_LOADING, KILLED, LOADER_KILLED) * 2,
    *(FROZEN_LOADING, FROZEN, SENT_AWAY, AGENT_KILLED, AGENT_FROZEN, MACHINE_APART, LESS_MEMORY),
    *(FILE_REPLACED, FILE_CUT, FILE_CUT_IN_PLACE, FILE_AWAY, *IN_A_LOAD),
)
LESS = 0.55
"""Of the memory that a machine has, the part that is left of it."""
EXCUSES = {
    "model_unavailable": (FILE_CUT, FILE_CUT_IN_PLACE, FILE_AWAY, KILLED_LOADING, FROZEN_LOADING, LESS_MEMORY),
    "model_not_found": (AGENT_KILLED, AGENT_FROZEN, LOADER_KILLED, MACHINE_APART, LESS_MEMORY, *IN_A_LOAD),
}
"""What clients may be told of a model for a while, and of which faults that comes."""
EXCUSED = 25.0
"""Seconds after such a fault: agents look at files now and then, and what has failed is not tried again at once."""
_PATIENCE, _PERIOD = 3.0, 0.05
"""Seconds in which somebody loads something, as a rule."""


class DemandFaults:
    """Of the machines of a house."""

    def __init__(self, ground: Ground, redis: Makers) -> None:
        """`redis` makes the faults of that."""
        self._ground = ground
        self._hurt_files = set[Path]()
        self._have_loaded = set[int]()
        self.makers: Makers = {
            KILLED_LOADING: lambda: self._hurt_worker(KILLED_LOADING, signal.SIGKILL, self._find_loading),
            FROZEN_LOADING: lambda: self._hurt_worker(FROZEN_LOADING, signal.SIGSTOP, self._find_loading),
            KILLED: lambda: self._hurt_worker(KILLED, signal.SIGKILL, self._find_busy),
            FROZEN: lambda: self._hurt_worker(FROZEN, signal.SIGSTOP, self._find_busy),
            # What an agent does to make room, here while there is work.
            SENT_AWAY: lambda: self._hurt_worker(SENT_AWAY, signal.SIGUSR1, self._find_busy),
            AGENT_KILLED: lambda: self._hurt_machine(AGENT_KILLED, signal.SIGKILL, self._find_busy),
            AGENT_FROZEN: lambda: self._hurt_machine(AGENT_FROZEN, signal.SIGSTOP, self._find_busy),
            LOADER_KILLED: lambda: self._hurt_machine(LOADER_KILLED, signal.SIGKILL, self._find_loading),
            MACHINE_APART: self._cut_off,
            LESS_MEMORY: self._lessen,
            FILE_REPLACED: lambda: self._hurt_file(FILE_REPLACED, _replace),
            FILE_CUT: lambda: self._hurt_file(FILE_CUT, self._cut),
            FILE_CUT_IN_PLACE: lambda: self._hurt_file(FILE_CUT_IN_PLACE, self._cut_in_place),
            FILE_AWAY: lambda: self._hurt_file(FILE_AWAY, lambda path: path.unlink()),
            **{
                told: partial(self._in_a_load, told, redis[kind])
                for told, kind in zip(IN_A_LOAD, OF_REDIS, strict=True)
            },
        }

    @property
    def _machines(self) -> Machines:
        assert self._ground.house.machines
        return self._ground.house.machines

    # Who is there

    async def _find_loading(self) -> Resident | None:
        """One that loads, as soon as there is one."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            residents, loaded = await self._machines.look(), await self._ground.house.loaded()
            self._have_loaded |= loaded.keys()  # who leaves is told of no longer
            able = [one for one in residents if one.machine.child.up.is_set() and one.pid not in self._have_loaded]
            if able and self._ground.house.valkey.up.is_set():
                return self._ground.random.choice(able)
            await asyncio.sleep(_PERIOD)
        return None

    async def _find_busy(self) -> Resident | None:
        """The one that has the most jobs."""
        found, most = None, 0
        for one in await self._machines.look():
            if one.machine.child.up.is_set() and (count := len(await self._ground.house.running_at(one.pid))) > most:
                found, most = one, count
        return found

    async def _jobs(self, residents: Iterable[Resident]) -> set[str]:
        """Those that run on these, or wait for the models of those which load."""
        house, jobs = self._ground.house, set[str]()
        loaded = await house.loaded()
        for one in residents:
            jobs |= await (house.running_at(one.pid) if one.pid in loaded else house.queued(one.model))
        return jobs

    # What is done

    async def _hurt_worker(
        self, kind: str, number: signal.Signals, find: Callable[[], Awaitable[Resident | None]]
    ) -> Fault | None:
        if (one := await find()) is None:
            return None
        jobs = await self._jobs([one])
        fault = Fault(kind, time.monotonic(), len(jobs))
        self._ground.struck.update(jobs)
        with suppress(ProcessLookupError):
            os.kill(one.pid, number)
        return self._ground.watch(fault, one.machine.child, self._again(one, number))

    async def _again(self, one: Resident, number: signal.Signals) -> None:
        """Let it go on, where it is frozen; wait until its model is served, or nobody asks for it."""
        if number is signal.SIGSTOP:
            await asyncio.sleep(self._ground.random.uniform(1, 3) * self._ground.lease)
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGCONT)
        await self._served([one.model])

    async def _hurt_machine(
        self, kind: str, number: signal.Signals, find: Callable[[], Awaitable[Resident | None]]
    ) -> Fault | None:
        if (one := await find()) is None:
            return None
        machine = one.machine
        own = [each for each in await self._machines.look() if each.machine is machine]
        jobs = await self._jobs(own)
        fault = Fault(kind, time.monotonic(), len(jobs))
        machine.child.hurt(number)
        thaw = None
        if number is signal.SIGKILL:
            self._ground.struck.update(jobs)
        else:  # its workers go on, and for a while the others believe in it
            thaw = machine.child.thaw_after(self._ground.random.uniform(3, 12))
        return self._ground.watch(fault, machine.child, thaw)

    async def _cut_off(self) -> Fault | None:
        """From Redis, with its workers."""
        if (one := await self._find_busy()) is None:
            return None
        own = [each for each in await self._machines.look() if each.machine is one.machine]
        fault = Fault(MACHINE_APART, time.monotonic(), len(await self._jobs(own)))
        return self._ground.cut_off(one.machine.child, fault)

    async def _lessen(self) -> Fault | None:
        """A machine is stopped as for a change of its settings, and comes again with less memory, or all of it."""
        able = [machine for machine in self._machines.each if machine.child.up.is_set()]
        if not able:
            return None
        machine, whole = self._ground.random.choice(able), self._machines.offered.memory
        own = [each for each in await self._machines.look() if each.machine is machine]
        fault = Fault(LESS_MEMORY, time.monotonic(), len(await self._jobs(own)))
        machine.give(int(LESS * whole) if machine.memory == whole else whole)
        machine.child.hurt(signal.SIGTERM)
        return self._ground.watch(fault, machine.child)

    async def _hurt_file(self, kind: str, hurt: Callable[[Path], None]) -> Fault | None:
        """For a while. It hit the jobs of its models that run or wait meanwhile."""
        able = [path for path in self._machines.offered.files if path not in self._hurt_files]
        if not able:
            return None
        path = self._ground.random.choice(able)
        whole = path.with_suffix(".whole")
        self._hurt_files.add(path)
        fault, jobs = Fault(kind, time.monotonic(), 0), set[str]()
        shutil.copy(path, whole)
        hurt(path)

        async def heal() -> None:
            end = time.monotonic() + self._ground.random.uniform(1, 5)
            while time.monotonic() < end:
                jobs.update(await self._ground.house.jobs_of(self._machines.offered.files[path]))
                fault.hit = len(jobs)
                await asyncio.sleep(4 * _PERIOD)
            whole.rename(path)
            self._hurt_files.discard(path)

        return self._ground.watch(fault, self._ground.house.gateway, heal())

    def _cut(self, path: Path) -> None:
        """As while it is copied; who has mapped the one before keeps it."""
        other = path.with_suffix(".part")
        other.write_bytes(path.read_bytes()[: self._ground.random.randrange(path.stat().st_size)])
        other.rename(path)

    def _cut_in_place(self, path: Path) -> None:
        """As who copies over it does: whoever computes with it dies."""
        os.truncate(path, self._ground.random.randrange(path.stat().st_size))

    async def _in_a_load(self, kind: str, make: Maker) -> Fault | None:
        """It hit all jobs that run, and those that wait for what loads."""
        if (one := await self._find_loading()) is None:
            return None
        waiting = await self._ground.house.queued(one.model)
        fault = await make()
        if fault:
            fault.kind, fault.hit = kind, fault.hit + len(waiting)
        return fault

    async def _served(self, models: Iterable[str]) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            loaded = await self._ground.house.loaded()
            waiting = [model for model in models if await self._ground.house.queued(model)]
            if not set(waiting) - set(loaded.values()):
                return
            await asyncio.sleep(4 * _PERIOD)


def _replace(path: Path) -> None:
    """By another file, as a download does."""
    other = path.with_suffix(".part")
    shutil.copy(path, other)
    other.rename(path)
