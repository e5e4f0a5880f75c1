"""POST /v1/messages, POST /v1/messages/count_tokens"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.schemas import FORMATS

views = Blueprint("messages", __name__)


@views.post("/messages")
def create() -> ResponseReturnValue:
    return generate(FORMATS["anthropic.messages"])


@views.post("/messages/count_tokens")
def count() -> ResponseReturnValue:
    return generate(FORMATS["anthropic.count_tokens"])
