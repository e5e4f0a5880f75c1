"""What all faults have in common: each hurts something at random, and counts whether it hit a job that was running."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from random import Random

from tests.chaos.child import Child
from tests.chaos.clients import Client
from tests.chaos.forms import LASTING, Form
from tests.chaos.house import House
from tests.chaos.wire import Wire


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
    """It keeps every job from going on, or others than those it is known to have hit."""
    unnoticed: str = ""
    """What should have noticed it, and did not."""


Maker = Callable[[], Awaitable[Fault | None]]
"""Makes a fault; None where there is nothing that could be hurt so at the moment."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What is hurt, and who minds."""

    house: House
    wire: Wire
    clients: Collection[Client]
    lease: float
    random: Random
    healing: set[asyncio.Task[None]]
    """What waits for the end of a fault."""
    struck: Counter[str]
    """The jobs whose worker was hurt, and how often."""

    def pick(self, workers: Collection[Child]) -> Child | None:
        """A worker that is up."""
        able = [worker for worker in workers if worker.up.is_set()]
        return self.random.choice(able) if able else None

    def replaceable(self) -> list[Child]:
        """The workers beside which another one of their model is up."""
        return [worker for worker in self.house.workers if self._up(worker) > 1]

    async def pick_needed(self, workers: Collection[Child]) -> Child | None:
        """A worker that is up, of those who compute the most of what was hit the least so far."""
        forms = {job: client.request.form for client in self.clients for job in client.jobs}
        hit = Counter[Form](dict.fromkeys(LASTING, 0))
        hit.update(forms[job] for job in self.struck.elements() if forms.get(job) in LASTING)
        least = min(hit.values())
        needed = {job for job, form in forms.items() if form in LASTING and hit[form] == least}
        able = [worker for worker in workers if worker.up.is_set()]
        counts = [len(needed & await self.house.running_on(worker)) for worker in able]
        return self.pick([worker for worker, count in zip(able, counts, strict=True) if count == max(counts)])

    def answered(self) -> int:
        """How many clients know what became of their requests."""
        return sum(client.fate is not None for client in self.clients)

    def strike(self, jobs: Collection[str], at: float) -> None:
        """Tell the clients of these jobs, which measure how soon their answers go on."""
        for client in self.clients:
            if client.job in jobs:
                client.struck(at)

    def watch(self, fault: Fault, child: Child, meanwhile: Awaitable[None] | None = None) -> Fault:
        """Note when the child is up again."""

        async def wait() -> None:
            if meanwhile:
                await meanwhile
            await child.serves()
            fault.until = time.monotonic()

        task = asyncio.create_task(wait())
        self.healing.add(task)
        task.add_done_callback(self._healed)
        return fault

    def _healed(self, task: asyncio.Task[None]) -> None:
        """What has failed stays, for whoever waits for them all."""
        if task.cancelled() or not task.exception():
            self.healing.discard(task)

    def cut_off(self, child: Child, fault: Fault) -> Fault:
        """From Redis, for some seconds."""
        assert child.relay is not None
        relay, process = child.relay, child.process
        seconds, drop = self.random.uniform(1, 8), self.random.random() < 0.5
        child.up.clear()
        relay.cut()

        async def heal() -> None:
            await asyncio.sleep(seconds)
            relay.heal(drop=drop)
            if child.process is process:  # who has ended, starts again as always
                child.up.set()

        return self.watch(fault, child, heal())

    def _up(self, worker: Child) -> int:
        model = worker.name.split()[1]
        return sum(each.up.is_set() for each in self.house.workers if each.name.split()[1] == model)


Makers = Mapping[str, Maker]
