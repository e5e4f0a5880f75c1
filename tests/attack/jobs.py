"""Attacks on the queue: its memory, its scripts, and what is kept for clients that may come again."""

from __future__ import annotations

import asyncio
import secrets

from tests.attack.attacker import Attacker, chat
from tests.attack.plan import Scene, attack

_MANY = "on and " * 10_000
_CHATS = "/v1/chat/completions"


@attack(least=5, scene=Scene.SLOW, stays=True)
async def a_full_queue(me: Attacker) -> None:
    """Jobs of 4 MB wait, of one key, until Redis is full."""
    request = me.post(_CHATS, chat(me.target.slow, await me.wide()), Prefer="respond-async")
    await me.crowd(4, lambda number: me.ask(request, number))


@attack(least=5, stays=True)
async def a_full_retention(me: Attacker) -> None:
    """Answers of 4 MB are computed and kept, until Redis is full."""
    request = me.post(_CHATS, chat(me.target.model, await me.wide()), Prefer="respond-async")
    await me.crowd(4, lambda number: me.ask(request, number))


@attack(least=5, scene=Scene.SLOW, stays=True)
async def submit_and_delete(me: Attacker) -> None:
    """Jobs of 4 MB that are cancelled at once: no bound of the queue counts them."""
    request = me.post(_CHATS, chat(me.target.slow, await me.wide()), Prefer="respond-async")

    async def once(number: int) -> None:
        reply = await me.ask(request, number)
        if reply.status == 202:
            await me.ask(me.head("DELETE", f"/v1/jobs/{reply.json()['id']}"), number)

    await me.crowd(4, once)


@attack(least=50, scene=Scene.SLOW, stays=True)
async def deletes(me: Attacker) -> None:
    """A running job and a waiting one are cancelled by hundreds at once, again and again."""

    async def once(number: int) -> None:
        jobs = [job for job in (await me.submit(_MANY, me.target.slow), await me.submit(_MANY, me.target.slow)) if job]
        deletes = (me.ask(me.head("DELETE", f"/v1/jobs/{job}"), each) for job in jobs for each in range(20))
        await asyncio.gather(*deletes)

    await me.crowd(10, once)


@attack(least=50, scene=Scene.SLOW, stays=True)
async def retries(me: Attacker) -> None:
    """Thousands of attempts that count themselves, whose clients leave before they are answered, and come no more."""

    async def once(number: int) -> None:
        body = chat(me.target.slow, secrets.token_hex(8))
        headers = {"x_stainless_retry_count": "0", "x_stainless_read_timeout": "600"}
        await me.leave_at(me.post(_CHATS, body, **headers), 0.02, number)
        again = {**headers, "x_stainless_retry_count": "1"}
        await me.leave_at(me.post(_CHATS, body, **again), 0.02, number)

    await me.crowd(40, once)


@attack(least=50, scene=Scene.SLOW, stays=True)
async def idempotency_keys(me: Attacker) -> None:
    """Thousands of jobs with keys of their own, whose clients leave and will not come again."""

    async def once(number: int) -> None:
        body = chat(me.target.slow, secrets.token_hex(8))
        await me.leave_at(me.post(_CHATS, body, Idempotency_Key=secrets.token_hex(100)), 0.02, number)

    await me.crowd(40, once)


@attack(least=50)
async def orphans(me: Attacker) -> None:
    """Short jobs whose clients leave at once and count their attempts: each is remembered for those that come again."""

    async def once(number: int) -> None:
        request = me.post(_CHATS, chat(me.target.model, secrets.token_hex(8)), x_stainless_retry_count="0")
        await me.leave_at(request, 0.005, number % 40)

    await me.crowd(100, once)


@attack(least=50)
async def leaving_in_the_middle(me: Attacker) -> None:
    """Hundreds of clients that leave while a long answer comes."""
    request = me.post(_CHATS, chat(me.target.model, _MANY, stream=True))
    await me.crowd(200, lambda number: me.leave_at(request, 0.2 + number % 5 / 5, number % 20), pause=0.1)


@attack(least=5)
async def leaving_large_ones(me: Attacker) -> None:
    """Clients that leave while a whole answer of 4 MB is made for them."""
    request = me.post(_CHATS, chat(me.target.model, await me.wide()))
    await me.crowd(20, lambda number: me.leave_at(request, 0.3 + number % 5 / 5, number), pause=0.1)


@attack(least=3)
async def long_answers(me: Attacker) -> None:
    """A key asks for as many long answers as it may have, and reads them all."""
    request = me.post(_CHATS, chat(me.target.model, _MANY, n=8, stream=True))
    await me.crowd(40, lambda number: me.ask(request, number), pause=0.05)


@attack(least=100, scene=Scene.SLOW, stays=True)
async def polls_by_hundreds(me: Attacker) -> None:
    """Hundreds poll for the place of jobs that wait, without a pause."""
    jobs = [job for job in [await me.submit("on and", me.target.slow) for _ in range(20)] if job]
    await me.crowd(200, lambda number: me.ask(me.head("GET", f"/v1/jobs/{jobs[number % len(jobs)]}"), number % 20))
