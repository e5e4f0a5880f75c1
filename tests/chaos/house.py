"""The real parts under a supervisor, which starts again whatever has ended."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tests.stack import Process, Stack, children


class Parts(Stack):
    """A stack whose processes are started without waiting for them."""

    def spawn(self, *arguments: str, **settings: Any) -> Process:
        return self._inferq(*arguments, **settings)


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

    @property
    def pid(self) -> int:
        return self.process.pid

    def hurt(self, number: signal.Signals) -> None:
        """Send it a signal that keeps it from serving."""
        self.up.clear()
        self.process.send_signal(number)

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


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers of one model."""

    arguments: tuple[str, ...]
    """After `inferq worker`."""
    count: int
    settings: Mapping[str, Any] = field(default_factory=dict)


class House:
    """Valkey, a gateway of two processes, and workers. All that waits does so without holding up the clients."""

    def __init__(self, stack: Parts, crews: Mapping[str, Crew]) -> None:
        """`crews` by model."""
        self.stack = stack
        self.redis = Redis(
            host="127.0.0.1", port=stack.redis_port, protocol=2, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)
        )
        self.models = tuple(crews)
        self._names: dict[int, str] = {}
        self._last_running: dict[str, str] = {}
        self.valkey = Child("valkey", stack.spawn_valkey, self._valkey_is_up, stack.valkey)
        self.gateway = self._child("gateway", lambda: stack.spawn("gateway", gateway_processes=2), self._gateway_is_up)
        self.gateway.may_start = stack.port_is_free  # its processes follow their arbiter within half a second
        self.workers = [
            self._child(
                f"worker {model} {number}",
                partial(stack.spawn, "worker", *c.arguments, **c.settings),
                self._worker_is_up,
            )
            for model, c in crews.items()
            for number in range(c.count)
        ]

    def _child(self, name: str, spawn: Callable[[], Process], is_up: Callable[[Process], Awaitable[bool]]) -> Child:
        return Child(name, spawn, is_up, spawn())

    @property
    def children(self) -> list[Child]:
        return [self.valkey, self.gateway, *self.workers]

    async def keep(self) -> None:
        """Supervise until cancelled."""
        await asyncio.gather(*(child.keep() for child in self.children))

    async def all_up(self) -> None:
        """Wait until everything serves."""
        for child in self.children:
            await child.up.wait()

    async def running(self) -> dict[str, str]:
        """The jobs in progress, and the names of their workers; what was known last while Redis is away."""
        try:
            pipe = self.redis.pipeline(transaction=False)
            for model in self.models:
                pipe.zrange(f"iq:leases:{model}", 0, -1)
            jobs = [job.decode() for found in await pipe.execute() for job in found]
            for job in jobs:
                pipe.hget(f"iq:job:{job}", "worker")
            found = zip(jobs, await pipe.execute(), strict=True)
            self._last_running = {job: worker.decode() for job, worker in found if worker}
        except RedisError:
            pass
        return self._last_running

    async def running_on(self, worker: Child) -> set[str]:
        """The jobs in progress on a worker."""
        name = self._names.get(worker.pid)
        return {job for job, on in (await self.running()).items() if on == name}

    def gateway_processes(self) -> list[int]:
        return sorted(children(self.gateway.process))

    async def active(self) -> int:
        """Jobs that are not final."""
        return sum(
            [
                await self.redis.zcard(f"iq:{index}:{model}")
                for index in ("leases", "deadlines")
                for model in self.models
            ]
        )

    async def memory(self) -> dict[str, int]:
        """The bytes of each key. What Redis takes besides, for scripts and buffers, it takes once and keeps."""
        keys = [key async for key in self.redis.scan_iter(count=1000)]
        return {key.decode(): int(await self.redis.memory_usage(key) or 0) for key in keys}

    async def _valkey_is_up(self, process: Process) -> bool:
        try:
            return bool(await self.redis.ping())
        except RedisError:
            return False

    async def _gateway_is_up(self, process: Process) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.stack.port)
        except OSError:
            return False
        try:
            writer.write(b"GET /v1/models HTTP/1.1\r\nHost: chaos\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(2):
                return b" 200 " in await reader.readline()
        except (OSError, TimeoutError):
            return False
        finally:
            writer.transport.abort()

    async def _worker_is_up(self, process: Process) -> bool:
        try:
            for key in await self.redis.keys("iq:card:workers:*"):
                card = json.loads(await self.redis.get(key) or "{}")
                if card.get("pid") == process.pid and card["card"]:
                    self._names[process.pid] = card["name"]
                    return True
        except RedisError:
            pass
        return False
