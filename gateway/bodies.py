"""Bodies of requests: how much of them a process holds at once, and where the large ones are worked on."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from flask import Request
from gevent.lock import BoundedSemaphore
from gevent.threadpool import ThreadPool
from gevent.util import wrap_errors
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest

from gateway.client import TooSlow
from gateway.incoming import words
from shared.errors import GatewayBusy, InferqError, InvalidRequest, RequestTooSlow

T = TypeVar("T")

MOST_BODY_BYTES = 134_217_728
"""Bytes of bodies that are received or understood at one time, by a process."""
MOST_KEY_BODY_BYTES = MOST_BODY_BYTES // 2
"""Those of one API key."""

_PIECE = 65_536
"""Bytes that are read at once. Each body may have the first ones: small requests are always served."""
_SMALL = 16_384
"""Bytes that take a few milliseconds at most, whatever they are."""

_TURN = 0.001
"""Seconds of computing after which a thread gives way to the event loop, which asks for it at each of its calls of
the system."""

_held: Counter[str] = Counter()
"""Bytes of bodies by owner."""


@contextmanager
def received(request: Request, owner: str) -> Iterator[bytes]:
    """The bytes of a request's body, which count as held within; refuses what is too long, and what is no body.

    Raises GatewayBusy, RequestTooSlow, BadRequest, RequestEntityTooLarge.
    """
    body = Receiving(owner)
    try:
        while piece := read_piece(request):  # also where its end is known, so that one that does not end is a 413
            body.add(piece)
        yield body.join()
    finally:
        body.let_go()


class Receiving:
    """A body that comes in pieces, all but the first bytes of which count as held."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._pieces = list[bytes]()
        self.size = self.held = 0

    def add(self, piece: bytes) -> None:
        """Raises GatewayBusy."""
        self.size += len(piece)
        more, self.held = max(0, self.size - _PIECE) - self.held, max(0, self.size - _PIECE)
        self._pieces.append(piece)
        if more:
            _hold(self._owner, more)

    def join(self) -> bytes:
        """All of it, in one piece."""
        body = b"".join(self._pieces)
        self._pieces.clear()
        return body

    def let_go(self) -> None:
        if self.held:
            _let_go(self._owner, self.held)
        self._pieces.clear()
        self.size = self.held = 0


def read_piece(request: Request) -> bytes:
    """The next bytes of a request's body; none at its end. Raises RequestTooSlow, BadRequest, RequestEntityTooLarge."""
    try:
        return request.stream.read(_PIECE)
    except TooSlow as exc:
        raise RequestTooSlow(f"The request was not received in time: {words(exc)}.") from exc
    except ParseException as exc:
        raise BadRequest(f"The request body cannot be read: {words(exc)}.") from exc


def too_large(most: int) -> InvalidRequest:
    """What refuses a body of more bytes."""
    return InvalidRequest(f"The request body is larger than {most} bytes", code="request_entity_too_large")


def _hold(owner: str, size: int) -> None:
    _held[owner] += size
    if _held.total() > MOST_BODY_BYTES or _held[owner] > MOST_KEY_BODY_BYTES:
        raise GatewayBusy("Too many large requests are being received at this moment. Please try again.")


@contextmanager
def holding(owner: str, size: int) -> Iterator[None]:
    """Within, so many bytes more count as held: what a body names. Raises GatewayBusy."""
    try:
        _hold(owner, size)
        yield
    finally:
        _let_go(owner, size)


def _let_go(owner: str, size: int) -> None:
    _held[owner] -= size
    if not _held[owner]:
        del _held[owner]


def apart(owner: str, size: int, work: Callable[[], T]) -> T:
    """Do what a request of so many bytes asks for, where it keeps no other waiting: the large ones in a thread.

    One at a time: threads of Python compute in turns anyhow, and each more would take a turn from the event loop. Of
    one owner only one is in the row for it, so that a flood of one keeps another's request waiting for one of his.
    """
    if size <= _SMALL:
        return work()
    with _turn(owner):
        found: T | InferqError = _pool().apply(wrap_errors(InferqError, work))
    if not isinstance(found, InferqError):
        return found
    try:
        raise found
    finally:
        del found  # it knows this frame, which would keep it, and the body, until a full garbage collection


@cache
def _turn(owner: str) -> BoundedSemaphore:
    return BoundedSemaphore()


@cache
def _pool() -> ThreadPool:
    sys.setswitchinterval(_TURN)
    return ThreadPool(1)
