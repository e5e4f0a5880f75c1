"""The real parts under a supervisor, which starts again whatever has ended."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.config import Config
from shared.registry import HEARTBEAT
from tests.chaos.marks import Marks
from tests.chaos.relay import Relay
from tests.stack import Process, Stack, children

BACK = 0.9
"""Seconds that Valkey is put back, and up to a mark's pace more."""

SOON = 60
"""Seconds beyond its retention in which the last of a job ends."""
SILENCE = 2000 * HEARTBEAT
"""Milliseconds in which whoever lives has said so again."""


class Parts(Stack):
    """A stack whose processes are started without waiting for them."""

    valkey_options = ("--auto-aof-rewrite-min-size", "4mb")
    """A short file is soon read, so that Valkey is back before its clients have given up."""

    def spawn(self, *arguments: str, **settings: Any) -> Process:
        return self._inferq(*arguments, **settings)

    def environ(self) -> dict[str, str]:
        """The settings of its parts, as they are given them."""
        return {f"INFERQ_{name.upper()}": str(value) for name, value in self.settings.items()}

    def config(self) -> Config:
        return Config.from_env(self.environ())


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


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers of one model."""

    arguments: tuple[str, ...]
    """After `inferq worker`."""
    count: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    last: Mapping[str, Any] = field(default_factory=dict)
    """What is different at the last of them."""

    def each(self) -> list[Mapping[str, Any]]:
        """The settings of each worker."""
        return [self.settings] * (self.count - 1) + [{**self.settings, **self.last}]


class House:
    """Valkey, a gateway of two processes, and workers. All that waits does so without holding up the clients."""

    def __init__(self, stack: Parts, crews: Mapping[str, Crew], *, relayed: bool = False) -> None:
        """`crews` by model. `relayed`: the others connect to Valkey through relays, which `keep` serves."""
        self.stack = stack
        self.redis = self._connect(1.0)
        self.models = tuple(crews)
        self._names: dict[int, str] = {}
        self._last_running: dict[str, str] = {}
        self._relayed = relayed
        self._marks = Marks(stack.directory)
        self.forgotten: list[tuple[float, float]] = []
        """From when to when Valkey has forgotten what was written."""
        self.valkey = Child("valkey", stack.spawn_valkey, self._valkey_is_up, stack.valkey)
        self.gateway = self._child("gateway", self._gateway_is_up, "gateway", gateway_processes=2)
        self.gateway.may_start = stack.port_is_free  # its processes follow their arbiter within half a second
        self.workers = [
            self._child(f"worker {model} {number}", self._worker_is_up, "worker", *crew.arguments, **settings)
            for model, crew in crews.items()
            for number, settings in enumerate(crew.each())
        ]

    def _child(self, name: str, is_up: Callable[[Process], Awaitable[bool]], *arguments: str, **settings: Any) -> Child:
        relay = Relay(self.stack.redis_port) if self._relayed else None
        if relay:
            settings["redis_url"] = f"redis://127.0.0.1:{relay.port}/0"
        spawn = partial(self.stack.spawn, *arguments, **settings)
        return Child(name, spawn, is_up, spawn(), relay=relay)

    @property
    def children(self) -> list[Child]:
        return [self.valkey, self.gateway, *self.workers]

    def _connect(self, patience: float) -> Redis:
        port, retry = self.stack.redis_port, Retry(NoBackoff(), 0)
        return Redis(host="127.0.0.1", port=port, protocol=2, socket_timeout=patience, retry=retry)

    async def calm_down(self) -> None:
        """Nothing is hurt any more: a Valkey that does not answer at once has only little of the machine."""
        hasty, self.redis = self.redis, self._connect(30.0)
        await hasty.aclose()

    async def keep(self) -> None:
        """Supervise until cancelled."""
        relays = [child.relay.serve() for child in self.children if child.relay]
        await asyncio.gather(*relays, self._marks.keep(), *(child.keep() for child in self.children))

    def put_back(self) -> bool:
        """Kill Valkey and start it again with what its files were a second ago; False where nobody knows that."""
        mark = self._marks.older(BACK)
        if mark is None:
            return False
        self.valkey.restart(partial(self._marks.put_back, mark))
        self.forgotten.append((mark.at, time.monotonic()))
        return True

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

    async def waiting(self) -> int:
        """Answers of jobs that have ended, which are to be stored and are not yet; 0 while Redis is away."""
        try:
            return int(await self.redis.zcount("iq:unarchived", "(0", "+inf"))
        except RedisError:
            return 0

    async def memory(self) -> dict[str, int]:
        """The bytes of each key, but for what is stored for days, and what is soon forgotten. What Redis takes besides,
        it takes once and keeps.
        """
        found = [key async for key in self.redis.scan_iter(count=1000)]
        soon = self.stack.settings["retention"] + SOON
        keys = [
            key for key in found if not key.startswith(b"iq:archive:") and not 0 <= await self.redis.ttl(key) <= soon
        ]
        return {key.decode(): int(await self.redis.memory_usage(key) or 0) for key in keys}

    async def lapse(self) -> None:
        """Whoever has not said lately that he lives is believed no longer, as if a minute had passed."""
        for kind in ("gateways", "workers"):
            until: Any = await self.redis.zrange(f"iq:live:{kind}", 0, -1, withscores=True)
            newest = max((score for _, score in until), default=0)
            silent = [name for name, score in until if score < newest - SILENCE]
            if silent:
                await self.redis.zadd(f"iq:live:{kind}", dict.fromkeys(silent, 1), xx=True)

    async def _valkey_is_up(self, process: Process) -> bool:
        try:
            return bool(await self.redis.ping())
        except RedisError:
            return False

    async def _gateway_is_up(self, process: Process) -> bool:
        return await serves(self.stack.port)

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


async def serves(port: int, key: str = "") -> bool:
    """A gateway there lists its models, to somebody with an API key where it wants one."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        head = f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(2):
            return b" 200 " in await reader.readline()
    except (OSError, TimeoutError):
        return False
    finally:
        writer.transport.abort()
