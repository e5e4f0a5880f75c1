"""GET /openapi.json, GET /docs: all that is served. Nobody needs a key for it: it names neither models nor releases."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

from flask import Blueprint, Flask, Response, current_app, request
from flask.typing import ResponseReturnValue
from gevent import get_hub
from gevent.lock import BoundedSemaphore
from msgspec.json import encode

from gateway.auth import OPEN
from gateway.openapi.document import describe
from gateway.openapi.operation import operation
from gateway.openapi.page import POLICY, render
from gateway.state import this_gateway
from shared.config import Config

views = Blueprint("docs", __name__)


@dataclass(frozen=True, slots=True)
class Published:
    """What is sent, the same to everybody."""

    blob: bytes
    mark: str
    """By which a client knows that it has it."""


@views.get("/openapi.json")
@operation("getOpenAPI")
def document() -> ResponseReturnValue:
    """Tell all that is served, as OpenAPI 3.1."""
    return _send(_published(_app(), this_gateway().config)[0], "application/json")


@views.get("/docs")
@operation("getDocs", media=("text/html",))
def page() -> ResponseReturnValue:
    """Tell all that is served, as a page for people."""
    response = _send(_published(_app(), this_gateway().config)[1], "text/html")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _app() -> Flask:
    found: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # the proxy has it
    return found


def _send(published: Published, kind: str) -> Response:
    response = Response(published.blob, mimetype=kind)
    response.set_etag(published.mark)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.make_conditional(request)
    return response


def _published(app: Flask, config: Config) -> tuple[Published, Published]:
    """The document and the page: made once, however many ask for the first one at a time."""
    with _turn():
        return _make(app, config)


@cache
def _turn() -> BoundedSemaphore:
    return BoundedSemaphore()


@cache
def _make(app: Flask, config: Config) -> tuple[Published, Published]:
    """They take a while: in a thread."""

    def make() -> tuple[bytes, bytes]:
        told = describe(app, config, OPEN)
        return encode(told), render(told).encode()

    blobs: tuple[bytes, bytes] = get_hub().threadpool.apply(make)
    first, second = (Published(blob, hashlib.sha256(blob).hexdigest()[:32]) for blob in blobs)
    return first, second


def init_app(app: Flask) -> None:
    app.register_blueprint(views)
