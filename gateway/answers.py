"""Whole answers: how much of them a process holds until their clients have read them, or streams that end with them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, request

from gateway.current_client import hold_head
from gateway.schemas import Frame, Frames
from gateway.schemas.openai import encode
from gateway.slices import give_way
from shared.errors import GatewayBusy
from shared.protocol import Decoded, Delta, Described, Encoded, Event, Failed, Pooled

MOST_ANSWER_BYTES = 67_108_864
"""Bytes of whole answers that are made, or wait to be read, at one time, by a process. One of each owner always may."""
MOST_KEY_ANSWER_BYTES = MOST_ANSWER_BYTES // 2
"""Those of one API key."""

_FREE = 65_536
"""Bytes of each answer that are not counted: small ones are always given."""

_SLICE = 262_144
"""Bytes of an answer after which others have their turn: some milliseconds."""

_LOGPROB = 80
"""Bytes of one in an answer, about."""
_TOKEN, _PIECE = 36, 100
"""Bytes that a token's id takes, and its text."""
_NUMBER = 14
"""Those of a vector's number, as text."""

_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)

_held: Counter[str] = Counter()
"""Bytes of answers by owner."""


class HeldAnswer:
    """What is held of one answer, which counts for its owner."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._size = 0

    def hold(self, size: int) -> None:
        """It has so many bytes. Raises GatewayBusy."""
        before, self._size = self._size, max(0, size - _FREE)
        if self._size == before:
            return
        _add(self._owner, self._size - before)
        held = _held[self._owner]
        if held > self._size > before and (_held.total() > MOST_ANSWER_BYTES or held > MOST_KEY_ANSWER_BYTES):
            raise GatewayBusy("Too many large answers wait for their clients to read them. Please try again.")

    def let_go(self) -> None:
        _add(self._owner, -self._size)
        self._size = 0


def counted(events: Iterable[Event]) -> Iterator[Event]:
    """The events of which the current request's answer is made, which counts as held from here on.

    Of one that is stored all are there at once: others have their turn meanwhile. Raises GatewayBusy, before the rest
    of them is read.
    """
    held, size, paused = _current(), 0, 0
    for event in events:
        if more := _size(event):
            size += more
            held.hold(size)
        if size - paused > _SLICE:
            paused = size
            give_way()
        yield event


def counted_frames(frames: Frames) -> Frames:
    """The frames of a stream that ends with the whole answer to the current request, which counts as held. Where there
    is no room for more of it, it fails."""
    held, size = _current(), 0
    failed = False

    def count(event: Event) -> Iterable[Frame]:
        nonlocal size, failed
        if failed:
            return ()
        size += _size(event)
        try:
            held.hold(size)
        except GatewayBusy as exc:
            failed = True
            return frames(Failed(exc.code, exc.message))
        return frames(event)

    return count


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
        case Pooled():
            return _NUMBER * sum(map(len, event.vectors)) // 4
        case _:
            return 0


def as_json(value: Any) -> Response:
    """An answer that may be long: made in one go, several times as fast as Flask would."""
    blob = encode(value)
    _current().hold(len(blob))
    return Response(blob, mimetype="application/json")


def init_app(app: Flask) -> None:
    """Send every answer that is whole in one piece, and let go of it once it was sent, or was not."""
    app.after_request(_send_off)


def _send_off(response: Response) -> Response:
    if held := g.get("answer"):
        response.call_on_close(held.let_go)
    if response.is_sequence and response.status_code not in _WITHOUT_BODY and response.calculate_content_length():
        hold_head(request.environ)
    return response


def _current() -> HeldAnswer:
    """That of the current request."""
    if "answer" not in g:
        g.answer = HeldAnswer(g.owner.name)
    found: HeldAnswer = g.answer
    return found


def _add(owner: str, size: int) -> None:
    _held[owner] += size
    if not _held[owner]:
        del _held[owner]
