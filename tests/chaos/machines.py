"""Machines that load models as they are asked for, `inferq up --models` each; watched from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.stack import free_port
from tests.up import processes

if TYPE_CHECKING:
    from tests.chaos.child import Child
    from tests.stack import Process

_PERIOD = 0.2
_LOADED = 2
"""Models that a machine may have loaded at once."""


@dataclass(frozen=True, slots=True)
class Offered:
    """The models that machines have, and how many of these."""

    needs: Mapping[str, int]
    """The models, with the bytes of memory that each takes."""
    files: Mapping[Path, tuple[str, ...]]
    """Files, and the models that are made of each."""
    machines: int
    memory: int
    """Bytes that the models of a machine may take."""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def arguments(self, folder: Path, number: int) -> tuple[str, ...]:
        """After `inferq up`; its data lie in `folder`. The models are a setting."""
        return ("--port", str(free_port()), "--data-dir", str(folder / f"up{number}"))


@dataclass(frozen=True, slots=True)
class Resident:
    """A worker that an agent has started."""

    pid: int
    model: str
    machine: Machine


@dataclass(eq=False, slots=True)
class Machine:
    """One of them. Its process is the supervisor, with its agent."""

    child: Child
    start: Callable[..., Process]
    """With the setting `memory`, in bytes."""
    memory: int
    """What its process has now."""

    def give(self, memory: int) -> None:
        """Its next process has so many bytes."""

        def spawn() -> Process:
            self.memory = memory
            return self.start(memory=f"{memory}B")

        self.child.spawn = spawn


class Machines:
    """All of a house."""

    def __init__(self, offered: Offered, machines: Sequence[Machine]) -> None:
        self.offered = offered
        self.each = machines
        self.crowded: list[str] = []
        """When more was loaded than may be."""
        self._seen = dict[int, str]()

    @property
    def loads(self) -> int:
        """How often a worker was started."""
        return len(self._seen)

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_PERIOD)

    async def look(self) -> list[Resident]:
        """The workers that live, some of which may be about to end."""
        supervisors = [(machine, machine.child.pid, machine.memory) for machine in self.each]
        table = await asyncio.to_thread(processes)
        found = list[Resident]()
        for machine, supervisor, memory in supervisors:
            own = {
                pid: title.split()[-1]
                for pid, (parent, state, title) in table.items()
                if parent == supervisor and "inferq worker" in title and not state.startswith("Z")
            }
            own = {pid: model for pid, model in own.items() if model in self.offered.needs}  # who ends has half a title
            taken = sum(self.offered.needs[model] for model in own.values())
            if len(own) > _LOADED or taken > memory:
                self.crowded.append(f"{', '.join(own.values())} were loaded at once, with {memory} bytes of memory")
            self._seen.update(own)
            found += [Resident(pid, model, machine) for pid, model in own.items()]
        return found
