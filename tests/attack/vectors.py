"""Attacks on what makes vectors: by as many inputs as there may be, the longest that there are."""

from __future__ import annotations

from typing import Any

from tests.attack.attacker import Attacker
from tests.attack.plan import attack

_MOST = 2048


async def _ask(me: Attacker, request: bytes, number: int) -> None:
    reply = await me.ask(request, number)
    if reply.status >= 500 and reply.status != 503:
        me.hits.holes.append(f"{reply.status} {reply.body[:200]!r}")


async def _longest(me: Attacker) -> str:
    """A text of which a body has as many as there may be."""
    size = await me.largest(lambda size: b"." * size)
    return ("w" * 9 + " ") * ((size - 100_000) // _MOST // 10)


@attack(least=3)
async def long_inputs(me: Attacker) -> None:
    """Embeddings of 2,048 texts that fill a body, as numbers and in base64."""
    text = await _longest(me)
    bodies: list[dict[str, Any]] = [{"input": [text] * _MOST, "encoding_format": form} for form in ("float", "base64")]
    requests = [me.post("/v1/embeddings", {"model": me.target.model, **body}) for body in bodies]
    await me.crowd(8, lambda number: _ask(me, requests[number % 2], number))


@attack(least=3)
async def long_documents(me: Attacker) -> None:
    """2,048 short documents for a query as long as a context, and as many long ones, which the answer is to repeat."""
    text = await _longest(me)
    bodies: list[dict[str, Any]] = [
        {"query": "w " * 4000, "documents": ["a"] * _MOST},
        {"query": "w", "documents": [text] * _MOST, "return_documents": True},
    ]
    requests = [me.post("/v1/rerank", {"model": me.target.model, **body}) for body in bodies]
    await me.crowd(8, lambda number: _ask(me, requests[number % 2], number))


@attack(least=5)
async def unread_vectors(me: Attacker) -> None:
    """Answers of megabytes of numbers that two hundred ask for and nobody reads."""
    request = me.post("/v1/embeddings", {"model": me.target.model, "input": ["a"] * _MOST})
    await me.crowd(200, lambda number: me.stay_mute(request, number))
