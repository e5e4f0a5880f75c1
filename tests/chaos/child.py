"""A process of a house, which is started again whenever it has ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.beside import within
from tests.chaos.relay import Relay
from tests.stack import Process


@dataclass(eq=False, slots=True)
class Child:
    """A process that is to run always."""

    name: str
    spawn: Callable[[], Process]
    is_up: Callable[[Process], Awaitable[bool]]
    process: Process
    may_start: Callable[[], bool] = lambda: True
    """Whether what the last process leaves behind is out of the way."""
    up: asyncio.Event = field(default_factory=asyncio.Event)
    """It serves, and is not being hurt."""
    seen_up: bool = False
    relay: Relay | None = None
    """Its way to Valkey, where that can be cut."""

    @property
    def pid(self) -> int:
        return self.process.pid

    async def serves(self) -> None:
        """Wait until it does. Raises AssertionError where that takes too long."""
        await within(60, self.up.wait(), f"that {self.name} serves")

    def hurt(self, number: signal.Signals) -> None:
        """Send it a signal that keeps it from serving."""
        self.up.clear()
        self.process.send_signal(number)

    def restart(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Kill it, and start it again at once; `meanwhile` is done while it does not run."""
        self.up.clear()
        self.process.kill()
        self.process.wait()
        meanwhile()
        self.process, self.seen_up = self.spawn(), False

    async def thaw_after(self, seconds: float) -> None:
        """Let it go on, when it was frozen."""
        process = self.process
        await asyncio.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        if process is self.process:
            self.up.set()

    async def keep(self) -> None:
        """Start it again whenever it ends, until cancelled."""
        while True:
            while self.process.poll() is None:
                if not self.seen_up and await self.is_up(self.process):
                    self.seen_up = True
                    self.up.set()
                await asyncio.sleep(0.05)
            self.up.clear()
            await asyncio.sleep(0.2)
            while not self.may_start():
                await asyncio.sleep(0.05)
            self.process, self.seen_up = self.spawn(), False
