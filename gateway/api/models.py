"""GET /v1/models and /v1/models/{id}"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from gateway.offers import Offer, lookup
from gateway.schemas.model import render_model
from gateway.state import this_gateway

views = Blueprint("models", __name__)


@views.get("/models")
def index() -> ResponseReturnValue:
    known = {offer.card.id: offer for offer in this_gateway().directory.offers()}
    claims = [(offer, name) for offer in known.values() for name in offer.names]
    return jsonify(object="list", data=[_object(*claim) for claim in claims if lookup(claim[1], known) is claim[0]])


@views.get("/models/<path:model>")
def retrieve(model: str) -> ResponseReturnValue:
    return jsonify(_object(this_gateway().directory.find(model), model))


def _object(offer: Offer, name: str) -> dict[str, Any]:
    return render_model(offer.card, name, offer.status)
