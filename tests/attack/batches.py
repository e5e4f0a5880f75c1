"""Attacks by batches: files of the worst lines that there are, and as many batches of them as one key may have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

from tests.attack.attacker import Attacker
from tests.attack.files import send_batch
from tests.attack.plan import Scene, attack

_BATCHES, _CHATS, _EMBEDDINGS = "/v1/batches", "/v1/chat/completions", "/v1/embeddings"
_MB = 1_000_000
_FINAL = ("completed", "failed", "expired", "cancelled")


def _line(name: str, body: dict[str, Any], url: str = _CHATS) -> bytes:
    return json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body}).encode()


async def _file(me: Attacker, lines: Iterable[bytes]) -> str:
    """The id of a file of requests."""
    return await send_batch(me, b"\n".join(lines))


async def _begin(me: Attacker, file: str, url: str = _CHATS) -> str:
    """The id of a batch of it; empty where it is refused."""
    asked = {"input_file_id": file, "endpoint": url, "completion_window": "24h"}
    reply = await me.ask(me.post(_BATCHES, asked))
    if reply.status not in (200, 403, 429, 503):
        me.hits.holes.append(f"a batch: {reply.status} {reply.body[:200]!r}")
    return str(reply.json()["id"]) if reply.status == 200 else ""


async def _flood(me: Attacker, files: Iterable[str], url: str = _CHATS) -> None:
    """As many batches as there may be, again and again; what they tell is read meanwhile."""
    while True:
        begun = [batch for file in files for _ in range(40) if (batch := await _begin(me, file, url))]
        await asyncio.sleep(2)
        for _ in range(5):
            await me.ask(me.head("GET", f"{_BATCHES}?limit=100"))
        for batch in begun:
            await me.ask(me.head("POST", f"{_BATCHES}/{batch}/cancel", Content_Length="0"))


@attack(least=5, stays=True, stores=True)
async def a_flood_of_batches(me: Attacker) -> None:
    """A hundred batches of a line of 12 MB, whose model is not there, has a name of 12 MB, or is asked for too much."""
    large = "w" * 12 * _MB
    bodies = ({"model": "nobody", "messages": large}, {"model": large}, {"model": me.target.model, "messages": large})
    await _flood(me, [await _file(me, [_line("a", body)]) for body in bodies])


@attack(least=3, stays=True, stores=True)
async def worst_lines(me: Attacker) -> None:
    """A batch each of whose lines is refused, crafty, or costly: grammars, deep JSON, what nobody waits for."""
    said = {"model": me.target.model, "messages": [{"role": "user", "content": "a b"}]}
    schema = {"type": "object", "properties": {"a" * 60: {"type": "string", "pattern": "(a{1,9}){1,9}"}}}
    forms: list[Callable[[int], dict[str, Any]]] = [
        lambda n: said | {"service_tier": "priority", "store": True, "metadata": {"n": str(n)}},
        lambda n: said | {"stream": True},
        lambda n: said | {"n": 8, "max_tokens": 10_000_000, "logprobs": True, "top_logprobs": 20},
        lambda n: said | {"messages": [{}] * 3000},
        lambda n: said | {"model": "nobody" + "x" * (n % 7) * 1000},
        lambda n: (
            said
            | {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": f"n{n}", "schema": schema | {"title": str(n)}},
                }
            }
        ),
    ]
    lines = [_line(f'{n}\n"\\{{}}', forms[n % len(forms)](n)) for n in range(3000)]
    lines += [
        b'{"custom_id":"deep%d","method":"POST","url":"%b","body":{"a":%b}}'
        % (n, _CHATS.encode(), b"[" * 200 + b"]" * 200)
        for n in range(100)
    ]
    file = await _file(me, lines)
    while True:
        begun = [await _begin(me, file) for _ in range(4)]
        for batch in filter(None, begun):
            await _end(me, batch, 20)
        await asyncio.sleep(0.5)


@attack(least=3, stays=True, stores=True)
async def large_results(me: Attacker) -> None:
    """Lines of some kilobytes whose answers have megabytes each: two thousand vectors."""
    body = {"model": me.target.model, "input": [chr(97 + n % 26) for n in range(2048)]}
    file = await _file(me, (_line(str(n), body, _EMBEDDINGS) for n in range(200)))
    while True:
        begun = [await _begin(me, file, _EMBEDDINGS) for _ in range(16)]
        for batch in filter(None, begun):
            await _end(me, batch, 20)
        await asyncio.sleep(0.5)


@attack(least=10, scene=Scene.SLOW, stays=True, stores=True)
async def batches_that_wait(me: Attacker) -> None:
    """A hundred batches of a model that computes two words a second, and of one that is not there."""
    chats = [
        {"messages": [{"role": "user", "content": "a b " * 50}], "model": each} for each in (me.target.slow, "nobody")
    ]
    await _flood(me, [await _file(me, (_line(str(n), body) for n in range(2000))) for body in chats])


async def _end(me: Attacker, batch: str, seconds: float) -> None:
    """Wait for the end of a batch, or cancel it."""
    async with asyncio.timeout(seconds + 5):
        for _ in range(int(seconds * 2)):
            told = (await me.ask(me.head("GET", f"{_BATCHES}/{batch}"))).json()
            if told["status"] in _FINAL:
                return
            await asyncio.sleep(0.5)
        await me.ask(me.head("POST", f"{_BATCHES}/{batch}/cancel", Content_Length="0"))
