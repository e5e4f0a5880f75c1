"""What a response is given: POST /v1/responses/input_tokens and /compact, GET /v1/responses/{id}/input_items"""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway.answers import as_json
from gateway.api.generation import generate
from gateway.archive.thing import ThingKind
from gateway.auth import owner
from gateway.openapi.operation import operation
from gateway.openapi.parameters import INCLUDE, paging
from gateway.schemas import FORMATS
from gateway.schemas.lists import read_paging, take_page
from gateway.schemas.responses.include import read_include
from gateway.state import this_gateway

views = Blueprint("response_input", __name__)

_ASKED = {"model": "MODEL", "input": "Hello!"}


@views.post("/responses/input_tokens")
@operation("getInputTokenCounts", formats=[FORMATS["openai.input_tokens"]], example=_ASKED)
def count() -> ResponseReturnValue:
    """Tell how many tokens the model would read for a response."""
    return generate(FORMATS["openai.input_tokens"])


@views.post("/responses/compact")
@operation("compactConversation", formats=[FORMATS["openai.compact"]], example=_ASKED)
def compact() -> ResponseReturnValue:
    """Make a conversation shorter, with a summary by the model."""
    return generate(FORMATS["openai.compact"])


@views.get("/responses/<response_id>/input_items")
@operation("listInputItems", parameters=[*paging(), INCLUDE])
def page(response_id: str) -> ResponseReturnValue:
    """List the items that a response was given."""
    paging = read_paging(request.args)
    read_include([*request.args.getlist("include[]"), *request.args.getlist("include")])  # all is always told
    found = this_gateway().recordings.find(ThingKind.RESPONSE, response_id, owner().name)
    return as_json(take_page(found.given, paging))
