"""Whole answers: how much of them a process holds until their clients have read them. Streams are in mailboxes."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from flask import Flask, Response, g

from gateway.schemas.openai import encode
from shared.errors import GatewayBusy
from shared.protocol import Decoded, Delta, Described, Encoded, Event

MOST_ANSWER_BYTES = 67_108_864
"""Bytes of whole answers that are made, or wait to be read, at one time, by a process. One of each owner always may."""
MOST_KEY_ANSWER_BYTES = MOST_ANSWER_BYTES // 2
"""Those of one API key."""

_FREE = 65_536
"""Bytes of each answer that are not counted: small ones are always given."""

_LOGPROB = 80
"""Bytes of one in an answer, about."""
_TOKEN, _PIECE = 36, 100
"""Bytes that a token's id takes, and its text."""

_held: Counter[str] = Counter()
"""Bytes of answers by owner."""


def counted(events: Iterable[Event]) -> Iterator[Event]:
    """The events of which the current request's answer is made, which counts as held from here on.

    Raises GatewayBusy, before the rest of them is read.
    """
    size = 0
    for event in events:
        if more := _size(event):
            size += more
            _hold(size)
        yield event


def _size(event: Event) -> int:
    """Bytes of memory that an answer takes which is made of it, about."""
    match event:
        case Encoded():
            return sys.getsizeof(event.text) + _TOKEN * len(event.tokens) + _PIECE * len(event.pieces)
        case Described():
            return sys.getsizeof(event.tokenizer)
        case Delta():
            return sys.getsizeof(event.text) + len(event.prompt_text) + _LOGPROB * event.likelihoods
        case Decoded():
            return sys.getsizeof(event.text)
        case _:
            return 0


def as_json(value: Any) -> Response:
    """An answer that may be long: made in one go, several times as fast as Flask would."""
    blob = encode(value)
    _hold(len(blob))
    return Response(blob, mimetype="application/json")


def init_app(app: Flask) -> None:
    """Let go of every answer once it was sent, or was not."""
    app.after_request(_let_go)


def _let_go(response: Response) -> Response:
    if size := g.get("answer", 0):
        response.call_on_close(partial(_add, g.owner.name, -size))
    return response


def _hold(size: int) -> None:
    """The current request's answer has so many bytes."""
    before, size = g.get("answer", 0), max(0, size - _FREE)
    if size == before:
        return
    owner = g.owner.name
    g.answer = size
    _add(owner, size - before)
    others = _held[owner] > size
    if others and size > before and (_held.total() > MOST_ANSWER_BYTES or _held[owner] > MOST_KEY_ANSWER_BYTES):
        raise GatewayBusy("Too many large answers wait for their clients to read them. Please try again.")


def _add(owner: str, size: int) -> None:
    _held[owner] += size
    if not _held[owner]:
        del _held[owner]
