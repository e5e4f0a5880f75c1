"""The real parts under a supervisor, which starts again whatever has ended."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.config import Config
from shared.registry import HEARTBEAT
from tests.chaos.child import Child
from tests.chaos.machines import Machine, Machines, Offered
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

    def spawn_machine(self, *arguments: str, **settings: Any) -> Process:
        """`inferq up`; what it tells whoever begins with it, and its log, are in a file."""
        command = [sys.executable, "-P", "-m", "inferq", "up", *arguments]
        with self.machines_log.open("ab") as log:
            environ = {**os.environ, **self.environ(**settings)}
            return self._start(command, env=environ, stdout=subprocess.DEVNULL, stderr=log)

    @property
    def machines_log(self) -> Path:
        return self.directory / "machines.log"

    def environ(self, **more: Any) -> dict[str, str]:
        """The settings of its parts, as they are given them."""
        return {f"INFERQ_{name.upper()}": str(value) for name, value in {**self.settings, **more}.items()}

    def config(self) -> Config:
        return Config.from_env(self.environ())


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

    def __init__(
        self, stack: Parts, crews: Mapping[str, Crew], *, relayed: bool = False, offered: Offered | None = None
    ) -> None:
        """`crews` by model. `relayed`: the others connect to Valkey through relays, which `keep` serves."""
        self.stack = stack
        self.redis = self._connect(1.0)
        self.models = (*crews, *(offered.needs if offered else ()))
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
        self.machines = (
            Machines(offered, [self._machine(offered, n) for n in range(offered.machines)]) if offered else None
        )

    def _machine(self, offered: Offered, number: int) -> Machine:
        relay = Relay(self.stack.redis_port)
        start = partial(
            self.stack.spawn_machine,
            *offered.arguments(self.stack.directory, number),
            **{"gateway_processes": 1, "redis_url": f"redis://127.0.0.1:{relay.port}/0", **offered.settings},
        )
        first = start(memory=f"{offered.memory}B")
        child = Child(f"machine {number}", start, self._machine_is_up, first, relay=relay)
        machine = Machine(child, start, offered.memory)
        machine.give(offered.memory)
        return machine

    def _child(self, name: str, is_up: Callable[[Process], Awaitable[bool]], *arguments: str, **settings: Any) -> Child:
        relay = Relay(self.stack.redis_port) if self._relayed else None
        if relay:
            settings["redis_url"] = f"redis://127.0.0.1:{relay.port}/0"
        spawn = partial(self.stack.spawn, *arguments, **settings)
        return Child(name, spawn, is_up, spawn(), relay=relay)

    @property
    def children(self) -> list[Child]:
        machines = [machine.child for machine in self.machines.each] if self.machines else []
        return [self.valkey, self.gateway, *self.workers, *machines]

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
        watching = [self.machines.watch()] if self.machines else []
        await asyncio.gather(*relays, *watching, self._marks.keep(), *(child.keep() for child in self.children))

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
            await child.serves()

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
        return await self.running_at(worker.pid)

    async def running_at(self, pid: int) -> set[str]:
        """The same of a worker by its pid."""
        name = self._names.get(pid)
        return {job for job, on in (await self.running()).items() if on == name}

    async def queued(self, model: str) -> set[str]:
        """The jobs that wait for a model; none while Redis is away."""
        try:
            places: Any = await self.redis.zrange(f"iq:waiting:{model}", 0, -1)
            return {place.decode().rpartition(":")[2] for place in places}
        except RedisError:
            return set()

    async def jobs_of(self, models: Collection[str]) -> set[str]:
        """The jobs in progress of these models, and those that wait for them."""
        jobs = set[str]()
        with suppress(RedisError):
            for model in models:
                running: Any = await self.redis.zrange(f"iq:leases:{model}", 0, -1)
                jobs |= {job.decode() for job in running} | await self.queued(model)
        return jobs

    async def loaded(self) -> dict[int, str]:
        """The workers that have loaded their models, by their pids, and these; none while Redis is away."""
        return {pid: card["card"]["id"] for pid, card in (await self._cards()).items() if card["card"]}

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
        return process.pid in await self.loaded()

    async def _cards(self) -> dict[int, dict[str, Any]]:
        """What the workers say of themselves, by their pids; nothing while Redis is away."""
        found = {}
        with suppress(RedisError):
            for key in await self.redis.keys("iq:card:workers:*"):
                card = json.loads(await self.redis.get(key) or "{}")
                if card:
                    found[int(card["pid"])] = card
                    self._names[card["pid"]] = card["name"]
        return found

    async def _machine_is_up(self, process: Process) -> bool:
        """Its agent says what it offers."""
        with suppress(RedisError):
            for key in await self.redis.keys("iq:agent:*"):
                if json.loads(await self.redis.get(key) or "{}").get("pid") == process.pid:
                    return True
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
