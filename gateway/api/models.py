"""GET /v1/models and /v1/models/{id}"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from gateway.offers import Offer, claims
from gateway.openapi.operation import operation
from gateway.openapi.parameters import ANTHROPIC_PAGING, ANTHROPIC_VERSION
from gateway.schemas.anthropic.model import describe_model, list_models
from gateway.schemas.model import render_model
from gateway.state import this_gateway

views = Blueprint("models", __name__)


@views.get("/models")
@operation("listModels", parameters=ANTHROPIC_PAGING)
def index() -> ResponseReturnValue:
    """List the models that may be asked for, by id and alias.

    With the header `anthropic-version` in the words of Anthropic's, in pages.
    """
    served = claims(this_gateway().directory.listed())
    if _is_anthropics():
        return jsonify(list_models([(offer.card, name) for offer, name in served], request.args.to_dict(flat=False)))
    return jsonify(object="list", data=[_object(*each) for each in served])


@views.get("/models/<path:model>")
@operation("retrieveModel", parameters=[ANTHROPIC_VERSION])
def retrieve(model: str) -> ResponseReturnValue:
    """Tell what is known of a model."""
    offer = this_gateway().directory.tell(model)
    return jsonify(describe_model(offer.card, model) if _is_anthropics() else _object(offer, model))


def _object(offer: Offer, name: str) -> dict[str, Any]:
    return render_model(offer.card, name, offer.status, offer.state, offer.reason)


def _is_anthropics() -> bool:
    """Whether the client of the current request is one of Anthropic's: they all say which version they speak."""
    return "anthropic-version" in request.headers
