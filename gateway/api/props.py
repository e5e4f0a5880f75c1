"""GET /v1/props: how much a model takes at once, told as llama.cpp does; some clients look for it before they begin."""

from __future__ import annotations

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from gateway.openapi.operation import operation
from gateway.openapi.parameters import MODEL
from gateway.state import this_gateway
from shared.version import VERSION

views = Blueprint("props", __name__)


@views.get("/props")
@operation("getProps", parameters=[MODEL])
def index() -> ResponseReturnValue:
    """Tell the context and the slots of a model, as llama.cpp does."""
    directory, name = this_gateway().directory, request.args.get("model")
    card = (directory.find(name) if name else directory.default()).card
    return jsonify(
        default_generation_settings={"n_ctx": card.context or None},
        total_slots=card.slots,
        model_alias=card.id,
        build_info=f"inferq-{VERSION}",
    )
