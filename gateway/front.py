"""GET /: for people the page, for programs where they are and how to begin.

Nobody needs a key for it; strangers are told no models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask import Blueprint, Flask, g, jsonify, request
from flask.typing import ResponseReturnValue

from gateway.auth import refusal
from gateway.first_call import FirstCall
from gateway.front_page import Front, Served, render_object
from gateway.openapi.operation import operation
from gateway.state import this_gateway
from gateway.ui.views import page
from shared.card import Card
from shared.registry import Worker

views = Blueprint("front", __name__)

_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
"""A header Host that may stand in a URL."""


@views.get("/")
@operation("getIndex", media=("application/json", "text/html"))
def index() -> ResponseReturnValue:
    """Tell where one is, and how to begin; for browsers it is the chat."""
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        response = page("index")
    else:
        response = jsonify(render_object(_front()))
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
    response.vary.add("Accept")
    return response


def _front() -> Front:
    workers = None if refusal() else this_gateway().workers()
    cards = {worker.card.id: worker.card for worker in workers or () if worker.card}
    call = _first_call(list(cards.values()))
    return Front(call, refusal(), None if workers is None else _served(workers, cards))


def _first_call(cards: Sequence[Card]) -> FirstCall:
    config = this_gateway().config
    given = request.headers.get("Host", "")
    host = given if _HOST.fullmatch(given) else f"{config.host}:{config.port}"
    return FirstCall.of(f"{g.scheme}://{host}/v1", cards, keyed=bool(config.api_keys))


def _served(workers: Sequence[Worker], cards: dict[str, Card]) -> list[Served]:
    unready = sorted({worker.model for worker in workers} - cards.keys())
    ready = [Served((card.id, *card.aliases), ready=True) for card in cards.values()]
    return [*ready, *(Served((name,), ready=False) for name in unready)]


def init_app(app: Flask) -> None:
    app.register_blueprint(views)
