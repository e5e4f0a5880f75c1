"""The body of a request that has nothing computed."""

from __future__ import annotations

from typing import Any

from flask import request
from werkzeug.exceptions import UnsupportedMediaType

from gateway import bodies
from gateway.attempts import fingerprint
from gateway.auth import owner
from gateway.creations import Creation
from gateway.origins import says_browser
from gateway.schemas.body import load_body
from gateway.schemas.objects import Strict
from gateway.state import this_gateway


def read_body(schema: Strict) -> dict[str, Any]:
    """What the current request asks for, by name. Raises InvalidRequest, and what `received` does."""
    return read_creation(schema)[0]


def read_creation(schema: Strict) -> tuple[dict[str, Any], Creation]:
    """The same, and the making of what it asks for."""
    check_is_json()
    config, who, path = this_gateway().config, owner().name, request.path

    def read(body: bytes) -> tuple[dict[str, Any], str]:
        return schema.read(load_body(body), config), fingerprint(who, path, body)

    with bodies.received(request, who) as body:
        asked, mark = bodies.apart(who, len(body), lambda: read(body))
    return asked, Creation(who, path, request.headers, mark)


def check_is_json() -> None:
    """A browser sends JSON with its name only to whom it may: so nothing else is taken for it, but no bytes at all, and
    what Ollama is asked by others, whose own words call curl without a name."""
    if request.mimetype != "application/json" and not _is_for_ollama() and not _is_empty():
        told = f"not {request.mimetype[:64]!r}" if request.mimetype else "and this request names none"
        raise UnsupportedMediaType(
            f"The request body must be JSON, and say so, {told}: add the header -H 'Content-Type: application/json'."
        )
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("The request body must be sent as it is, without Content-Encoding")


def _is_for_ollama() -> bool:
    return request.blueprint == "ollama" and not says_browser(request.environ)


def _is_empty() -> bool:
    """Whether no body comes, whatever it is said to be. Of one without a length the beginning is read."""
    if request.content_length:
        return False
    return "Transfer-Encoding" not in request.headers or not bodies.read_piece(request)
