"""One run: all of the older release, then one process after the other of the newer, back, and up again, under load."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from urllib.request import Request, urlopen

from tests.beside import beside
from tests.chaos import plan
from tests.chaos.casting import client_for
from tests.chaos.forms import Form
from tests.chaos.house import Crew
from tests.chaos.run import Outcome, all_final
from tests.chaos.wire import Wire
from tests.stack import free_port
from tests.upgrade.balancer import Balancer
from tests.upgrade.fleet import Fleet, Pair
from tests.upgrade.sides import Side
from tests.upgrade.strangers import Strangers
from tests.upgrade.witness import Handovers, Witness

SETTINGS = {"log_level": "warning", "retention": 900, "grace": 0.2, "slots": 4, "echo_rate": 50, "lease": 2}
KEYS = ("first", "second")
"""The API keys of the clients, whose names are the same."""
CLIENTS = 28
"""More than there are slots, so that jobs wait."""
CLIENTS_OF_NEWER = 6
"""Those besides that ask for what the older release does not know."""
NEW_FORMS = tuple(form for form in Form if form not in (Form.TEXT, Form.THOUGHTS))
"""Of a model that cannot tell its thoughts, nobody asks for them alone: there is nothing to wait for."""
EXCUSES = ("unsupported_value", "unsupported_parameter", "other_version")
"""Said while all workers of the model are of the older release, the last of jobs that were accepted before."""
TIDY = 180
"""Seconds in which what the older release has left is cleared: its gateways that were killed are believed in for 60."""
MOST = 10_000
"""Requests that are drawn; more than any run asks."""
SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@dataclass(slots=True)
class Upgrade:
    """What came of a run."""

    outcome: Outcome = field(default_factory=lambda: Outcome([]))
    """With what each release has to say against the other as its `books`."""
    handovers: Handovers = field(default_factory=Handovers)
    told: Counter[str] = field(default_factory=Counter)
    """What the older release said of jobs that it does not know."""


def run(older: Side, newer: Side, random: Random, *, requests: int, mixed: float) -> Upgrade:
    """Ask at least so many requests; stay mixed for so many seconds, on the way up and on the way back."""
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "again.gguf"
        again.write_bytes(b"echo reads no file")
        stack = Pair(Path(folder), older, **SETTINGS, api_keys=",".join(f"{key}:{key}" for key in KEYS))
        try:
            return asyncio.run(_play(stack, again, (older, newer), random, requests, mixed))
        finally:
            stack.close()


async def _play(
    stack: Pair, again: Path, sides: tuple[Side, Side], random: Random, requests: int, mixed: float
) -> Upgrade:
    crews = {"echo": Crew(("echo",), 3), "again": Crew((str(again), "--engine", "echo"), 1, {"echo_continue": 0})}
    fleet, port, port_of_newer = Fleet(stack, crews, KEYS[0]), free_port(), free_port()
    taken: dict[str, int] = {}
    balancer = Balancer(port, lambda: fleet.gateways, random, taken)
    newer = Balancer(port_of_newer, lambda: fleet.gateways_of(sides[1]), random, taken)
    witness = Witness(fleet, taken)
    upgrade = Upgrade()
    strangers = Strangers(upgrade.outcome.clients, fleet, sides[0], KEYS)
    running = (fleet.keep(), balancer.serve(), newer.serve(), witness.watch(), strangers.watch())
    try:
        async with beside(*running):
            await fleet.all_up()
            course = asyncio.create_task(_up_and_back(fleet, sides, mixed, upgrade))
            begun = time.monotonic()
            wires, newest = ([Wire(each, key) for key in KEYS] for each in (port, port_of_newer))
            await _ask(upgrade.outcome, fleet, wires, newest, random, requests, course)
            upgrade.outcome.seconds = time.monotonic() - begun
            await course
            await all_final(fleet.active)
            await _tidied(fleet)
            for gateway in fleet.gateways:  # of the newer side, both
                await upgrade.outcome.shelf.look(gateway.port, upgrade.outcome.clients, (), {True: (), False: ()})
            upgrade.outcome.shelf.waiting = await fleet.waiting()
            upgrade.told = strangers.told
            upgrade.outcome.books += "".join(f"\n  {line}" for line in strangers.garbage)
            upgrade.handovers = await witness.handovers(upgrade.outcome.clients)
            upgrade.outcome.books += await _complaints(fleet, sides, "in the end")
    finally:
        await fleet.redis.aclose()
    return upgrade


async def _up_and_back(fleet: Fleet, sides: tuple[Side, Side], mixed: float, upgrade: Upgrade) -> None:
    """Half of each kind first, and the rest after a while in which both releases serve; then up again, without it.

    On the way back a worker is the first: once it is seen, streams are begun as its gateways need them.
    """
    one, two, three, again = fleet.workers
    older, newer = sides
    numbers, faults = itertools.cycle(SIGNALS), upgrade.outcome.faults
    for side, other, pause in ((newer, older, mixed), (older, newer, mixed), (newer, older, 0.0)):
        for child in (one, fleet.gateway, again):
            faults.append(await fleet.replace(child, side, next(numbers)))
        sys.stderr.write(f"half of it is {side.name}\n")
        end = time.monotonic() + pause
        while time.monotonic() < end:
            for child, own in ((one, side), (two, other)):
                faults.append(await fleet.replace(child, own, next(numbers)))
        upgrade.outcome.books += await _complaints(fleet, sides, f"when half of it was {side.name}")
        for child in (two, fleet.second, three):
            faults.append(await fleet.replace(child, side, next(numbers)))
        sys.stderr.write(f"all of it is {side.name}\n")


async def _ask(
    outcome: Outcome,
    fleet: Fleet,
    wires: Sequence[Wire],
    newest: Sequence[Wire],
    random: Random,
    least: int,
    course: asyncio.Task[None],
) -> None:
    """Keep asking until the course has ended, and so many have asked.

    A few ask the newer gateways only, for what the older release does not know; while there are none, they wait.
    """
    waiting = iter(plan.echoes(random, MOST, fleet.models, (Form.TEXT,)))
    newer = iter(plan.echoes(random, MOST, fleet.models, NEW_FORMS, first=MOST))

    async def one_after_the_other(
        requests: Iterator[plan.Request], wires: Sequence[Wire], excuses: Collection[str]
    ) -> None:
        for request in requests:
            if course.done() and len(outcome.clients) >= least:
                return
            wire, own = random.choice(wires), Random(random.random())
            kind = client_for(request.form)
            client = kind(
                request=request,
                wire=wire,
                random=own,
                refusals=outcome.refusals,
                recoveries=outcome.recoveries,
                crashes=fleet.forgotten,
                excuses=excuses,
            )
            outcome.clients.append(client)
            await client.run()

    crowds = [(waiting, wires, ())] * CLIENTS + [(newer, newest, EXCUSES)] * CLIENTS_OF_NEWER
    await asyncio.gather(*(one_after_the_other(*crowd) for crowd in crowds))


async def _tidied(fleet: Fleet) -> None:
    """Until the newer release has seen the last of the older one go, and has cleared what that left."""
    with suppress(TimeoutError):
        async with asyncio.timeout(TIDY):
            while await fleet.redis.hexists("iq:lapse", "tidy"):
                await asyncio.sleep(0.5)


async def _complaints(fleet: Fleet, sides: Sequence[Side], when: str) -> str:
    """What does not balance, is not seen or keeps failing, in the eyes of each release, a line each."""
    await fleet.all_up()
    return await asyncio.to_thread(lambda: "".join(f"\n  {line}" for line in _looked(fleet, sides, when)))


def _looked(fleet: Fleet, sides: Sequence[Side], when: str) -> Iterator[str]:
    where = {name: fleet.stack.settings[name] for name in ("redis_url", "archive")}
    for side in sides:
        well, said = side.run("check", **where)
        if not well:
            yield f"inferq check of {side.name}, {when}: {said}"
        well, said = side.run("status", "--json", **where)
        seen = {worker["pid"] for worker in json.loads(said)["workers"] if worker["ready"]} if well else set()
        if missing := {worker.pid for worker in fleet.workers} - seen:
            yield f"inferq status of {side.name}, {when}, does not show {missing}: {said}"
    for gateway in fleet.gateways:
        metrics = Request(f"http://127.0.0.1:{gateway.port}/metrics", headers={"Authorization": f"Bearer {KEYS[0]}"})
        with suppress(OSError), urlopen(metrics, timeout=30) as answer:
            for line in answer.read().decode().splitlines():
                if "loop_errors_total{" in line and not line.endswith(" 0.0"):
                    yield f"a loop has failed, says {fleet.side(gateway.child.pid)}, {when}: {line}"
