"""GET /: for people the page, for programs where they are and how to begin.

Nobody needs a key for it; strangers are told no models.
"""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Flask, g, jsonify, request
from flask.typing import ResponseReturnValue

from gateway.auth import refusal
from gateway.first_call import KEY_VARIABLE, FirstCall
from gateway.openapi.operation import operation
from gateway.state import this_gateway
from gateway.ui.views import page
from shared.card import Card

views = Blueprint("front", __name__)

DOCS = {
    "All that is served here": "/docs",
    "The same for programs": "/openapi.json",
    "OpenAI's API": "https://platform.openai.com/docs/api-reference/chat",
    "OpenAI's Python client": "https://pypi.org/project/openai/",
}
_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
"""A header Host that may stand in a URL."""


@views.get("/")
@operation("getIndex", media=("application/json", "text/html"))
def index() -> ResponseReturnValue:
    """Tell where one is, and how to begin; for browsers it is the chat."""
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        response = page("index")
    else:
        response = jsonify(_told())
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
    response.vary.add("Accept")
    return response


def _told() -> dict[str, Any]:
    workers = None if refusal() else this_gateway().workers()
    cards = {worker.card.id: worker.card for worker in workers or () if worker.card}
    call = _first_call(list(cards.values()))
    key = (
        f"one of this gateway's; the lines below take it from {KEY_VARIABLE}"
        if call.keyed
        else "any text: none is asked for"
    )
    told: dict[str, Any] = {"name": "inferq", "base_url": call.base, "api_key": key}
    if refusal():
        told["message"] = refusal()
    elif workers is not None:
        told["models"] = [name for card in cards.values() for name in (card.id, *card.aliases)]
        told["unready"] = sorted({worker.model for worker in workers} - cards.keys())
    return {**told, "curl": call.curl, "python": call.python, "docs": DOCS}


def _first_call(cards: list[Card]) -> FirstCall:
    config = this_gateway().config
    given = request.headers.get("Host", "")
    host = given if _HOST.fullmatch(given) else f"{config.host}:{config.port}"
    return FirstCall.of(f"{g.scheme}://{host}/v1", cards, keyed=bool(config.api_keys))


def init_app(app: Flask) -> None:
    app.register_blueprint(views)
