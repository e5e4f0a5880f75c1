"""One run: start everything, ask, break things meanwhile, wait for the answers, look at what is left."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from gateway.archive.archive import Archive
from gateway.batches.open_batches import OpenBatches
from tests.beside import beside
from tests.chaos.archive_faults import HIDDEN, RECOVERED, UNNAMED
from tests.chaos.casting import client_for
from tests.chaos.clients import Client
from tests.chaos.faults import Fault
from tests.chaos.forms import FILES
from tests.chaos.house import Crew, House, Parts, serves
from tests.chaos.machines import Offered
from tests.chaos.mischief import Mischief
from tests.chaos.plan import BATCHES, Request
from tests.chaos.stored import Shelf
from tests.chaos.watching import OverviewWatcher
from tests.chaos.wire import Wire
from tests.pace import slowness
from tests.stack import free_port, stop

SLACK = 50_000
"""Bytes that Redis may keep beyond those before: counts, failures, names of workers, streams of living gateways."""
_LONGEST = 600
"""Seconds of a look at the books."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What runs, and what happens to it."""

    crews: Mapping[str, Crew]
    """The workers of each model."""
    course: Callable[[Mischief], Awaitable[None]]
    """What is done to it while clients ask; stopped when all have their answers."""
    clients: int
    """Requests at one time."""
    settings: Mapping[str, Any]
    offered: Offered | None = None
    """Models that machines load when they are asked for."""
    excuses: Collection[str] = ()
    """What clients may be told for a while, and come again."""
    whole: bool = False
    """The course is played to its end: until then clients ask, and no longer."""


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    clients: list[Client]
    planned: int = 0
    """Requests that were to be asked; more are where the faults did not hit enough meanwhile."""
    seconds: float = 0.0
    slow: float = 1.0
    """How many times slower the machine was than the one on which bounds in seconds were found."""
    faults: list[Fault] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    """The jobs whose worker was hurt, and how often."""
    recoveries: list[tuple[float, float]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    """Bytes of each key before the first request."""
    after: dict[str, int] = field(default_factory=dict)
    """The same once all that has an end has ended."""
    books: str = ""
    """What `inferq check` says; empty when they balance."""
    loads: int = 0
    """Workers that were started because somebody asked for their models."""
    crowded: Sequence[str] = ()
    """When more was loaded than may be."""
    overview: str = ""
    """Why what the overview says cannot be; empty where it can."""
    shelf: Shelf = field(default_factory=Shelf)
    """What was found of what is stored."""


def run(
    scene: Scene,
    requests: Sequence[Request],
    random: Random,
    *,
    patient: bool = True,
    more: Sequence[Request] = (),
    enough: Callable[[Sequence[Fault]], bool] = lambda faults: True,
) -> Outcome:
    """Play the scene to its end; `patient`: also see that Redis forgets it, which takes a minute.

    Where all are answered before the faults were `enough`, as a fast machine does it, `more` is asked meanwhile.
    """
    with tempfile.TemporaryDirectory() as folder:
        stack = Parts(Path(folder), **scene.settings)
        try:
            return asyncio.run(_play(stack, scene, requests, random, patient, more, enough))
        finally:
            stack.close()
            if stack.machines_log.exists():
                told = stack.machines_log.read_text(errors="replace").splitlines()
                sys.stderr.write("".join(f"{line}\n" for line in told if " ERROR " in line))


async def _play(
    stack: Parts,
    scene: Scene,
    requests: Sequence[Request],
    random: Random,
    patient: bool,
    more: Sequence[Request],
    enough: Callable[[Sequence[Fault]], bool],
) -> Outcome:
    house = House(stack, scene.crews, relayed=True, offered=scene.offered)
    wire = Wire(stack.port)
    outcome = Outcome([], len(requests))
    slow = slowness()
    outcome.clients = [
        client_for(request.form)(
            request=request,
            wire=wire,
            random=Random(random.random()),
            refusals=outcome.refusals,
            recoveries=outcome.recoveries,
            excuses=scene.excuses,
            # Redis knows nothing of files and batches, unless the index of what is stored is there.
            crashes=()
            if request.path in (FILES, BATCHES) and not stack.settings.get("archive_index")
            else house.forgotten,
        )
        for request in (*requests, *more)
    ]
    mischief = Mischief(house, wire, outcome.clients, stack.settings["lease"], random)
    watcher = OverviewWatcher(wire)
    try:
        async with beside(house.keep(), watcher.watch()):
            await house.all_up()
            outcome.before = await house.memory()
            begun = time.monotonic()
            course = asyncio.ensure_future(scene.course(mischief))
            over = course.done if scene.whole else lambda: False
            asked = await _ask(outcome.clients[: len(requests)], scene.clients, over)
            outcome.clients = asked + await _ask(
                outcome.clients[len(requests) :], scene.clients, lambda: enough(mischief.made)
            )
            outcome.seconds, outcome.slow = time.monotonic() - begun, max(slow, slowness())
            course.cancel()
            with suppress(asyncio.CancelledError):
                await course
            await mischief.heal()
            await house.all_up()
            await house.calm_down()
            outcome.faults, outcome.struck = mischief.made, mischief.struck
            if house.machines:
                outcome.loads, outcome.crowded = house.machines.loads, house.machines.crowded
            await all_final(partial(_unfinished, stack))
            await all_final(house.active)
            outcome.overview = await watcher.judge(house.redis, house.models)
            if mischief.made:
                outcome.shelf = await _look(stack, house, outcome.clients, mischief.made)
            lacks = bool(stack.settings.get("archive_index") and house.forgotten)
            outcome.books = await asyncio.to_thread(_check, stack, lacks)
            if not patient:
                return outcome
            outcome.after = await _settled(house, outcome.before)
            outcome.books = outcome.books or await asyncio.to_thread(_check, stack, lacks)
    finally:
        await house.redis.aclose()
    return outcome


async def _ask(clients: Sequence[Client], at_once: int, over: Callable[[], bool]) -> list[Client]:
    """Let the clients ask, so many at one time, until it is `over`; say now and then how far they are.

    Those that have asked.
    """
    waiting, asked = iter(clients), list[Client]()
    ended = 0

    async def one_after_the_other() -> None:
        nonlocal ended
        while not over() and (client := next(waiting, None)):
            asked.append(client)
            await client.run()
            ended += 1
            if ended % 100 == 0:
                sys.stderr.write(f"{ended} of {len(clients)} requests\n")

    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
    return asked


async def _unfinished(stack: Parts) -> int:
    """Batches that have not ended, also those of which nobody knows."""
    archive = Archive.open(stack.config())
    return len(await asyncio.to_thread(OpenBatches(archive).find))


async def all_final(active: Callable[[], Awaitable[object]]) -> None:
    """Wait until no job or batch is `active`: those whose clients left in an outage have no one to cancel them."""
    end = time.monotonic() + 90
    while jobs := await active():
        if time.monotonic() > end:
            raise AssertionError(f"{jobs} jobs or batches do not end")
        await asyncio.sleep(0.1)


async def _look(stack: Parts, house: House, clients: Sequence[Client], faults: Sequence[Fault]) -> Shelf:
    """Look for what is stored through the gateway that has lived through it all, and through one that is new."""
    trouble = [(fault.at, fault.until + RECOVERED) for fault in faults if fault.kind in (HIDDEN, UNNAMED)]
    shelf, port = Shelf(faults=faults), free_port()
    with suppress(TimeoutError):
        async with asyncio.timeout(90):
            while await house.waiting():
                await asyncio.sleep(0.1)
    shelf.waiting = await house.waiting()
    other = stack.spawn("gateway", port=port, gateway_processes=1)
    try:
        async with asyncio.timeout(60):
            while not await serves(port):
                await asyncio.sleep(0.1)
        # Files, and what can be stored at once, are on the disk before that is told.
        unstored = [
            (begin, end) for begin, end in house.forgotten if any(at < end and begin < to for at, to in trouble)
        ]
        index_in_redis = bool(stack.settings.get("archive_index"))
        forgotten = dict.fromkeys((True, False), house.forgotten) if index_in_redis else {True: [], False: unstored}
        for each in (stack.port, port):
            await shelf.look(each, clients, house.forgotten, forgotten)
        await asyncio.to_thread(shelf.count, Archive.open(stack.config()), clients, house.forgotten)
    finally:
        await asyncio.to_thread(stop, other)
    return shelf


async def _settled(house: House, before: dict[str, int]) -> dict[str, int]:
    """Bytes of each key once retention has ended and the reply streams of killed gateways have lapsed.

    Who died is soon taken for dead, and not a minute later.
    """
    end = time.monotonic() + 60 + house.stack.settings["retention"]
    while sum((after := await house.memory()).values()) > sum(before.values()) + SLACK and time.monotonic() < end:
        await house.lapse()
        await asyncio.sleep(1)
    return after


def _check(stack: Parts, lacks: bool) -> str:
    """What `inferq check` finds; `lacks`: Redis may have forgotten that an upload's parts went, whose blobs are gone.

    Whatever clients were told of is looked for besides.
    """
    command = [sys.executable, "-P", "-m", "inferq", "check", "--contents", "--json"]
    environ = {**os.environ, **stack.environ()}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=_LONGEST)
    if done.returncode == 0:
        return ""
    if not done.stdout:
        return done.stderr
    told = json.loads(done.stdout)
    found = [(each["subject"], each["problem"]) for each in (*told["findings"], *told["archive"]["findings"])]
    return "\n".join(
        f"{what}: {problem}" for what, problem in found if not (lacks and _is_part_that_went(what, problem))
    )


def _is_part_that_went(what: str, problem: str) -> bool:
    return what.startswith("part_") and problem.startswith("its blob ") and problem.endswith(" is not there")
