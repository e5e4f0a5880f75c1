"""Attacks by asking again and again for what has been computed once."""

from __future__ import annotations

import asyncio

from tests.attack.attacker import Attacker
from tests.attack.plan import Scene, attack

_LONG = " ".join("w" * (1 + number % 7) for number in range(16_000))
"""Its echo fills the context."""
_N = 8
"""Such answers."""


@attack(least=5)
async def polls_of_a_long_record(me: Attacker) -> None:
    """Ten clients poll for a completed job of 128,000 tokens: 80 bytes that cost all of its record."""
    job = await me.record(_LONG, n=_N)
    await me.crowd(10, lambda number: me.ask(me.head("GET", f"/v1/jobs/{job}"), number))


@attack(least=5)
async def polls_of_a_wide_record(me: Attacker) -> None:
    """The same with an answer of 4 MB."""
    job = await me.record(await me.wide())
    await me.crowd(10, lambda number: me.ask(me.head("GET", f"/v1/jobs/{job}"), number))


@attack(least=3)
async def followers_of_a_long_record(me: Attacker) -> None:
    """Ten clients follow a long record from its beginning, and read it all."""
    job = await me.record(_LONG, n=_N)
    await me.crowd(10, lambda number: me.ask(me.head("GET", f"/v1/jobs/{job}/events"), number))


@attack(least=5)
async def resumed_at_the_end(me: Attacker) -> None:
    """Ten clients follow a long record from its last events on, which are a few bytes."""
    job = await me.record(_LONG, n=_N)
    whole = (await me.ask(me.head("GET", f"/v1/jobs/{job}/events"))).body
    late = [line[4:].decode() for line in whole.split(b"\n") if line.startswith(b"id: ")][-5:][0]
    await me.crowd(10, lambda number: me.ask(me.head("GET", f"/v1/jobs/{job}/events", Last_Event_ID=late), number))


@attack(least=50, scene=Scene.SLOW, stays=True)
async def followed_by_hundreds(me: Attacker) -> None:
    """A running job is followed by hundreds, who read and stay."""
    job = ""
    while not job:
        job = await me.submit("on and " * 10_000, me.target.slow)
        await asyncio.sleep(0.1)

    async def follow(number: int) -> None:
        line = await me.connect(number % 10)
        try:
            await line.send(me.head("GET", f"/v1/jobs/{job}/events"))
            if (await line.head()).status != 200:
                await asyncio.sleep(5)
                return
            while await line.reader.read(65_536):
                pass
        finally:
            line.leave()

    await me.crowd(800, follow, rate=200)


@attack(least=1, stays=True)
async def choices(me: Attacker) -> None:
    """2,048 prompts with 128 choices each, out of 10 kB: a quarter of a million first chunks."""
    body = {"model": me.target.model, "prompt": ["a"] * 2048, "n": 128, "stream": True}

    async def read(number: int) -> None:
        line = await me.connect()
        try:
            await line.send(me.post("/v1/completions", body))
            if (await line.head()).status != 200:
                return
            while await line.reader.read(1 << 20):
                pass
        finally:
            line.leave()

    await me.crowd(2, read, pause=0.1)
