"""One soak."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from openai import AsyncOpenAI

from shared.errors import JobNotFound
from shared.tickets import Tickets
from tests.attack.attacker import Target
from tests.beside import beside
from tests.chaos.wire import Wire
from tests.soak.gauges import FILES, GREENLETS, KEYS, THREADS, Gauge, Gauges
from tests.soak.honest import Crowd
from tests.soak.hostile import be_hostile
from tests.stack import Process, Stack
from tests.tiny import TINY

REAL = TINY.stem
RETENTION = 20
"""Seconds, so that what is kept of jobs is soon as much as it will be."""
FORCE = 0.05
"""The part of their clients with which attacks come."""
SETTLED = 120.0
"""Seconds within which all is as before once the load has gone."""
_OTHERS = tuple(f"other-{number}" for number in range(12))
"""Who asks only before the load, each a few things at a time."""
_PACES = 600
"""Measurements of a run, at most."""


class House(Stack):
    """Two gateway processes, an echo engine of sixteen slots and the tiny model. What they log goes to a file."""

    valkey_options = ("--maxmemory", "512mb")

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.keys = {name: secrets.token_hex(24) for name in ("honest", "mallory", *_OTHERS)}
        self._log = (directory / "log").open("ab")
        keys = ",".join(f"{name}:{key}" for name, key in self.keys.items())
        super().__init__(directory, api_keys=keys, retention=RETENTION, **settings)

    def start(self) -> None:
        self.start_gateway(processes=2)
        self.start_worker("echo", slots=16, echo_rate=50)
        self.start_worker(str(TINY), slots=2, threads=1)

    def check(self) -> str:
        """What `inferq check` finds; empty where that is nothing."""
        environ = {**os.environ, "INFERQ_REDIS_URL": str(self.settings["redis_url"])}
        command = [sys.executable, "-P", "-m", "inferq", "check"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=600)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def _start(self, command: list[str], **options: Any) -> Process:
        return super()._start(command, **{"stdout": self._log, "stderr": subprocess.STDOUT, **options})


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    gauges: Gauges
    fates: Counter[str]
    hits: Counter[str]
    refused: int
    """How often an honest client was told to come again."""
    broken: list[str] = field(default_factory=list)


async def play(folder: Path, seconds: float, clients: int, random: Random) -> Outcome:
    """Load a house for so long, and look at it until all that has an end has ended."""
    house = House(folder)
    try:
        await asyncio.to_thread(house.start)
        return await _play(house, seconds, clients, random)
    finally:
        await asyncio.to_thread(house.close)


async def _play(house: House, seconds: float, clients: int, random: Random) -> Outcome:
    honest, mallory = house.keys["honest"], house.keys["mallory"]
    metrics = f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {honest}\r\nConnection: close\r\n\r\n"
    gauges, hits = Gauges(house, metrics), Counter[str]()
    await _fill_pools(house)
    before = await gauges.look()
    client = AsyncOpenAI(base_url=f"{house.url}/v1", api_key=honest, timeout=120)
    until = asyncio.get_running_loop().time() + seconds
    crowd = Crowd(Wire(house.port, honest), client, REAL, Random(random.random()), until)
    target = Target(house.port, mallory, "echo", "echo", seconds, FORCE)
    hostile = max(1, clients // 20)
    others = [be_hostile(target, REAL, Random(random.random()), hits) for _ in range(hostile)]
    try:
        async with beside(*others, gauges.keep(max(0.5, seconds / _PACES))):
            await crowd.ask(clients - hostile)
    finally:
        await client.close()
    outcome = Outcome(gauges, crowd.fates, hits, len(crowd.refusals), [*crowd.broken, *gauges.ended])
    outcome.broken += [] if hits.total() else ["the hostile clients hit nothing"]
    await asyncio.to_thread(_take_back, house)
    outcome.broken += await _left(gauges, before)
    if found := await asyncio.to_thread(house.check):
        outcome.broken.append(f"inferq check: {found}")
    outcome.broken += [f"the key of {name} is in the log" for name, key in house.keys.items() if _logged(house, key)]
    return outcome


async def _fill_pools(house: House) -> None:
    """A gateway keeps the connections to Redis that it once needed at one time: have it need all that it may have."""

    async def ask(name: str) -> None:
        async with Wire(house.port, house.keys[name]).request("GET", "/v1/jobs/none", whose="nobody") as answer:
            await answer.body()

    await asyncio.to_thread(house.redis.client_pause, 1500)
    await asyncio.gather(*(ask(name) for name in _OTHERS for _ in range(25)))
    await asyncio.sleep(2)  # a process tells of its greenlets once a second


def _take_back(house: House) -> None:
    """What hostile clients were promised for later would be computed for minutes yet."""
    tickets = Tickets(house.redis)
    for key in list(house.redis.scan_iter("iq:job:*")):
        with suppress(JobNotFound):
            tickets.cancel(key.decode().removeprefix("iq:job:"))


async def _left(gauges: Gauges, before: dict[tuple[str, Gauge], float]) -> list[str]:
    """What is there that was not, two minutes after the load."""
    end = time.monotonic() + SETTLED
    while (left := list(_more(before, await gauges.look()))) and time.monotonic() < end:
        await asyncio.sleep(1)
    return left


def _more(before: dict[tuple[str, Gauge], float], after: dict[tuple[str, Gauge], float]) -> Iterator[str]:
    for (whose, gauge), value in after.items():
        if gauge in (FILES, THREADS, GREENLETS, KEYS):
            with suppress(KeyError):
                if value > (was := before[whose, gauge]) + gauge.slack:
                    yield f"{whose} keeps {value:g} {gauge.name}, and had {was:g} before"


def _logged(house: House, key: str) -> bool:
    return key in (house.directory / "log").read_text(errors="replace")
