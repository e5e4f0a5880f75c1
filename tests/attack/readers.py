"""Attacks by clients that ask and do not read: what they are sent has to lie somewhere."""

from __future__ import annotations

import asyncio

from tests.attack.attacker import Attacker, chat
from tests.attack.plan import attack

_LONG = " ".join(f"word{number:05}" for number in range(15_000))
"""150 kB, whose stream is some 3 MB."""


@attack(least=50)
async def unread_streams(me: Attacker) -> None:
    """Hundreds of streams whose clients do not read them, of one key and one peer."""
    await _mute(me, 300, me.post("/v1/chat/completions", chat(me.target.model, _LONG, stream=True)), peers=1)


@attack(least=50)
async def unread_streams_of_many(me: Attacker) -> None:
    """The same from as many peers."""
    await _mute(me, 300, me.post("/v1/chat/completions", chat(me.target.model, _LONG, stream=True)), peers=300)


@attack(least=20)
async def unread_answers(me: Attacker) -> None:
    """Whole answers of megabytes that nobody reads."""
    await _mute(me, 100, me.post("/v1/chat/completions", chat(me.target.model, await me.wide())), peers=10)


@attack(least=50)
async def unread_events(me: Attacker) -> None:
    """The events of one job with a long record, asked for by hundreds who do not read them."""
    job = await me.record(_LONG)
    await _mute(me, 300, me.head("GET", f"/v1/jobs/{job}/events"), peers=10)


@attack(least=20)
async def unread_jobs(me: Attacker) -> None:
    """A completed job's result, asked for by hundreds who do not read it."""
    job = await me.record(await me.wide())
    await _mute(me, 200, me.head("GET", f"/v1/jobs/{job}"), peers=10)


@attack(least=50)
async def unread_metrics(me: Attacker) -> None:
    """Requests one behind the other on two thousand connections, none of whose answers is read."""
    await _mute(me, 2000, me.head("GET", "/metrics") * 40, peers=20)


@attack(least=50)
async def unread_refusals(me: Attacker) -> None:
    """The same without a key, from a thousand peers."""
    await _mute(me, 2000, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n" * 300, peers=1000)


async def _mute(me: Attacker, most: int, request: bytes, peers: int) -> None:
    """A crowd that comes within a second or two, or later where it is kept waiting."""

    async def stay(number: int) -> None:
        await asyncio.sleep(number * 2.0 / most)
        await me.stay_mute(request, number % peers)

    await me.crowd(most, stay)
