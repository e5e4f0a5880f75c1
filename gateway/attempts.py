"""A client's attempts at one request: how the next one is known, and how long its job waits for it.

The `openai` client repeats a request by itself, when its connection breaks or it has waited for its read timeout. It
counts its attempts in a header. Others send an `Idempotency-Key`. Neither shall pay, or have the CPU pay, twice.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field

from werkzeug.datastructures import Headers

from shared.errors import InvalidRequest
from shared.ticket import Attempt
from shared.tracing import NOWHERE, Carried

_SOON = 2.0
"""Seconds within which the `openai` client comes again after a broken connection (it waits for half a second)."""
_AFTER_TIMEOUT = 30.0
"""The same when it left at its own read timeout: a slow answer shall not be thrown away."""
_WITH_KEY = 60.0
_EARLY = 1.0
"""Seconds before its announced read timeout from which on a client is taken to have left because of it."""

_PATIENCE = "x-request-timeout"
MOST_PATIENCE = 86_400.0
"""Seconds that a job may be asked to wait in the queue."""


@dataclass(slots=True)
class Visit:
    """One request of a client."""

    attempt: Attempt
    counts: bool
    """It counts its attempts: it may come again."""
    read_timeout: float | None
    """Seconds that it waits for the next byte, where it says so."""
    patience: float
    """Seconds that its job may wait in the queue."""
    begun: bool = False
    """It has got a part of the answer, or the status line: it will not come again by itself."""
    since: float = field(default_factory=time.monotonic)
    carried: Carried = NOWHERE
    """Where its job belongs among traces."""

    def linger(self) -> float:
        """Seconds that the job shall wait for the client, which leaves now."""
        if self.attempt.idempotency:
            return _WITH_KEY
        if self.begun or not self.counts:
            return 0
        if self.read_timeout is not None and time.monotonic() - self.since >= self.read_timeout - _EARLY:
            return _AFTER_TIMEOUT
        return _SOON


def fingerprint(owner: str, path: str, *body: bytes) -> str:
    """By which the same request of the same owner is known."""
    return _hash(owner.encode(), path.encode(), *body)


def read_count(headers: Headers) -> int | None:
    """How often the client has tried before, where it counts that."""
    number = headers.get("x-stainless-retry-count", "")
    return int(number) if number.isdecimal() and len(number) < 4 else None


def read_key(headers: Headers) -> bytes:
    """The Idempotency-Key of a request; empty where it has none."""
    return headers.get("Idempotency-Key", "").encode("utf-8", "surrogateescape")


def read_visit(headers: Headers, owner: str, fingerprint: str, *, waits: bool, parts: bool, usual: float) -> Visit:
    """Who comes, by the headers of a request and the fingerprint of all of it.

    `waits` for the answer, or polls for it later; reads it in `parts`, as it comes, or as a whole. The job of one that
    says nothing of it may wait in the queue for the `usual` seconds. Raises InvalidRequest.
    """
    count, key = read_count(headers), read_key(headers)
    timeout = headers.get("x-stainless-read-timeout") or headers.get("x-stainless-timeout", "")  # as in JavaScript
    attempt = Attempt(
        fingerprint=fingerprint,
        number=count or 0,
        idempotency=_hash(owner.encode(), key) if key else "",
        waits=waits,
        parts=parts,
    )
    patience = _patience(headers, usual)
    return Visit(attempt, counts=count is not None, read_timeout=_seconds(timeout), patience=patience)


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _patience(headers: Headers, usual: float) -> float:
    text = headers.get(_PATIENCE)
    if text is None:
        return usual
    seconds = _seconds(text) or 0.0
    if not 0 < seconds <= MOST_PATIENCE:
        raise InvalidRequest(
            f"{_PATIENCE}: expected the seconds that the job may wait in the queue, more than 0 and at most"
            f" {MOST_PATIENCE:g}, but got {text[:64]!r}.",
            param=_PATIENCE,
        )
    return seconds


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
