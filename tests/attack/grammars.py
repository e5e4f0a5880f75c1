"""Attacks by what an answer is to keep to, which is tried before it is queued, and looked at for each token."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from tests.attack.attacker import Attacker, chat
from tests.attack.plan import Scene, attack

_CHATS = "/v1/chat/completions"
_FIRST = itertools.count(1)
"""Each request has a grammar that nobody has seen before."""


def _schema(**keywords: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": keywords}}}


_REFUSED: tuple[Callable[[int], dict[str, Any]], ...] = (
    lambda n: _schema(type="array", maxItems=10**8 + n),
    lambda n: _schema(type="integer", multipleOf=1_000_003 + 2 * n),
    lambda n: _schema(allOf=[{"type": "string", "pattern": f"w{n + i}"} for i in range(30)]),
    lambda n: {"guided_regex": f"(a{{{1000 + n}}}){{1000}}"},
    lambda n: {"guided_regex": "(" * 3000 + str(n) + ")" * 3000},
    lambda n: {"grammar": "start: A\nA: " + " & ".join(f"/(.|\\n)*w{n + i}(.|\\n)*/" for i in range(30))},
    lambda n: {"grammar": f'start: a\na: a a | "x" | "{n}" | /[a-z ]/ | ""'},
    lambda n: {"guided_json": f'{{"const": {n}, "items": ' + "[" * 20_000},
)
"""Each would take llama.cpp seconds, gigabytes or its life."""

_KEPT: tuple[Callable[[int], dict[str, Any]], ...] = (
    lambda n: _schema(type="array", items={"enum": [f"v{i}-{n}" for i in range(4_000)]}),
    lambda n: _schema(anyOf=[{"type": "object", "properties": {f"a{n + i}": {}}} for i in range(300)]),
    lambda n: _schema(type="object", properties={f"p{n + i}": {"type": "string"} for i in range(300)}),
    lambda n: _schema(type="array", maxItems=1_000 + n % 1_000, items={"type": "string", "maxLength": 10**8}),
    lambda n: {"guided_regex": f"(.*a.{{{n % 500}}}b|.*c.{{300}}d|.*e.{{100}}f)"},
    lambda n: {"guided_regex": "|".join(f"w{i}z{n}" for i in range(5_000))},
)
"""These it keeps to, or lets go of."""


@attack(least=2, scene=Scene.REAL)
async def hostile_grammars(me: Attacker) -> None:
    """Small schemas, expressions and grammars that would take seconds or gigabytes to be made ready, each a new one."""

    async def once(number: int) -> None:
        turn = next(_FIRST)
        grammar = _REFUSED[turn % len(_REFUSED)](turn)
        reply = await me.ask(me.post(_CHATS, {**chat(me.target.model, "Go.", max_tokens=8), **grammar}), number)
        if reply.status != 400:
            me.hits.holes.append(f"{str(grammar)[:60]}: {reply.status}")

    await me.crowd(8, once)


@attack(least=1, scene=Scene.REAL)
async def large_grammars(me: Attacker) -> None:
    """The largest that are taken, each a new one, on all slots but one."""

    async def once(number: int) -> None:
        turn = next(_FIRST)
        grammar = _KEPT[turn % len(_KEPT)](turn)
        body = {**chat(me.target.model, "Go.", max_tokens=8), **grammar}
        reply = await me.ask(me.post(_CHATS, body), number)
        if reply.status not in (200, 400):
            me.hits.holes.append(f"{str(grammar)[:60]}: {reply.status}")

    await me.crowd(3, once)
