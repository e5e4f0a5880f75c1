"""GET /openapi.json: the description of the API. Nobody needs a key for it: it names neither models nor releases."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

from flask import Blueprint, Flask, Response, current_app, request
from flask.typing import ResponseReturnValue
from gevent import get_hub
from msgspec.json import encode

from gateway.auth import OPEN
from gateway.openapi.document import describe
from gateway.openapi.operation import operation
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
    """Tell what this gateway takes, as OpenAPI 3.1."""
    return _send(_document(current_app._get_current_object(), this_gateway().config), "application/json")  # type: ignore[attr-defined]  # the proxy has it


def _send(page: Published, kind: str) -> ResponseReturnValue:
    response = Response(page.blob, mimetype=kind)
    response.set_etag(page.mark)
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response.make_conditional(request)


@cache
def _document(app: Flask, config: Config) -> Published:
    """It takes a while, and is made when it is first asked for, where it keeps nobody waiting."""
    blob: bytes = get_hub().threadpool.apply(lambda: encode(describe(app, config, OPEN)))
    return Published(blob, hashlib.sha256(blob).hexdigest()[:32])


def init_app(app: Flask) -> None:
    app.register_blueprint(views)
