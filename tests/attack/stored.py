"""Attacks on what is stored: it is filled, its chains grow, and it is read again and again, or not at all."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

from tests.attack.attacker import Attacker, Reply, chat
from tests.attack.files import LARGE, send
from tests.attack.plan import Scene, attack

_CHATS, _RESPONSES, _CONVERSATIONS = "/v1/chat/completions", "/v1/responses", "/v1/conversations"
_METADATA = {f"{number:02}" + "k" * 60: "v" * 500 for number in range(16)}
"""As large as it may be."""
_LONG = " ".join("w" * (1 + number % 7) for number in range(16_000))


async def _ask(me: Attacker, request: bytes, number: int) -> Reply:
    """Whatever it is refused with, it is no fault of the server."""
    reply = await me.ask(request, number)
    if reply.status in (500, 502, 504):
        me.hits.holes.append(f"{reply.status} {reply.body[:200]!r}")
    return reply


async def _made(me: Attacker, path: str, body: Any, number: int = 0) -> str:
    """The id of what is made; it is asked for until it is not refused."""
    while (reply := await _ask(me, me.post(path, body), number)).status != 200:
        await asyncio.sleep(0.2)
    return str(reply.json()["id"])


def _response(me: Attacker, text: str, **more: Any) -> dict[str, Any]:
    return {"model": me.target.model, "input": text, **more}


@attack(least=20, stays=True, stores=True)
async def responses_fill_the_store(me: Attacker) -> None:
    """Responses and chats with all the metadata that there may be, where files have left little room for them."""
    while 403 not in me.hits.answers:
        await send(me, LARGE, 0, 200, 403)
    text = " ".join(secrets.token_hex(30) for _ in range(1000))
    asked = (
        me.post(_RESPONSES, _response(me, text, metadata=_METADATA)),
        me.post(_CHATS, dict(chat(me.target.model, text, store=True, metadata=_METADATA))),
    )
    await me.crowd(8, lambda number: _ask(me, asked[number % 2], number))


@attack(least=50, stays=True, stores=True)
async def small_things(me: Attacker) -> None:
    """As many responses of one word, conversations and items as one key may have."""
    conversation = await _made(me, _CONVERSATIONS, {})
    items = [{"type": "message", "role": "user", "content": "w" * 500}] * 20
    asked = (
        me.post(_RESPONSES, _response(me, "word", metadata=_METADATA)),
        me.post(_CONVERSATIONS, {"items": items}),
        me.post(f"{_CONVERSATIONS}/{conversation}/items", {"items": items}),
    )
    await me.crowd(12, lambda number: _ask(me, asked[number % 3], number))


@attack(least=5, stays=True, stores=True)
async def growing_chains(me: Attacker) -> None:
    """Chains of responses, and conversations, of which each answer is given all before it and 100 kB more."""

    async def chain(number: int) -> None:
        more: dict[str, Any] = {}
        if number % 2:
            more["conversation"] = await _made(me, _CONVERSATIONS, {}, number)
        while True:
            body = _response(me, ("w" * 60 + " ") * 1600, truncation="auto", **more)
            reply = await _ask(me, me.post(_RESPONSES, body), number)
            if reply.status in (400, 403, 413):
                return
            if reply.status == 200 and not number % 2:
                more["previous_response_id"] = reply.json()["id"]

    await me.crowd(8, chain)


@attack(least=50, scene=Scene.SLOW, stays=True, stores=True)
async def unread_backgrounds(me: Attacker) -> None:
    """Thousands of responses in the background that nobody ever reads, of which many wait."""
    models = (me.target.model, me.target.slow)

    async def once(number: int) -> None:
        body = {"model": models[number % 2], "input": secrets.token_hex(200), "background": True}
        await _ask(me, me.post(_RESPONSES, body), number)

    await me.crowd(50, once)


@attack(least=20, stays=True, stores=True)
async def filtered_lists(me: Attacker) -> None:
    """Lists of chats by metadata that none of many has, and pages of large ones, in a loop."""
    for number in range(60):
        await _made(me, _CHATS, dict(chat(me.target.model, "w " * 100, store=True, metadata={"n": str(number)})))
    nothing = me.head("GET", f"{_CHATS}?metadata%5Bn%5D=none&model={me.target.model}&limit=100")
    everything = me.head("GET", f"{_CHATS}?limit=100&order=desc")
    await me.crowd(16, lambda number: _ask(me, (nothing, everything)[number % 2], number))


@attack(least=20, stays=True, stores=True)
async def unread_replays(me: Attacker) -> None:
    """The stream of a long stored response, which two hundred ask for and nobody reads."""
    response = await _made(me, _RESPONSES, _response(me, _LONG))
    await me.crowd(200, lambda number: me.stay_mute(me.head("GET", f"{_RESPONSES}/{response}?stream=true"), number))


@attack(least=10, stays=True, stores=True)
async def walks(me: Attacker) -> None:
    """The stream of a long stored response from late events on, which are a few bytes that cost all of it."""
    response = await _made(me, _RESPONSES, _response(me, _LONG))
    whole = (await me.ask(me.head("GET", f"{_RESPONSES}/{response}?stream=true"))).body
    told = [line[6:] for line in whole.split(b"\n") if line.startswith(b"data: ")]
    last = int(json.loads(told[-1])["sequence_number"])

    async def once(number: int) -> None:
        after = last - 1 - number % 5
        await _ask(me, me.head("GET", f"{_RESPONSES}/{response}?stream=true&starting_after={after}"), number)

    await me.crowd(10, once)
