"""GET /v1/models and /v1/models/{id}"""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from gateway.schemas.model import render_model
from gateway.state import this_gateway

views = Blueprint("models", __name__)


@views.get("/models")
def index() -> ResponseReturnValue:
    cards = this_gateway().directory.models().values()
    names = [(card, name) for card in cards for name in (card.id, *card.aliases)]
    return jsonify(object="list", data=[render_model(card, name) for card, name in names])


@views.get("/models/<path:model>")
def retrieve(model: str) -> ResponseReturnValue:
    return jsonify(render_model(this_gateway().directory.find(model), model))
