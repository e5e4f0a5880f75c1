"""POST /v1/messages, POST /v1/messages/count_tokens"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.openapi.operation import operation
from gateway.schemas import FORMATS

views = Blueprint("messages", __name__)

_ASKED = {"model": "MODEL", "messages": [{"role": "user", "content": "Hello!"}]}


@views.post("/messages")
@operation("createMessage", formats=[FORMATS["anthropic.messages"]], example={**_ASKED, "max_tokens": 100})
def create() -> ResponseReturnValue:
    """Answer a conversation."""
    return generate(FORMATS["anthropic.messages"])


@views.post("/messages/count_tokens")
@operation("countMessageTokens", formats=[FORMATS["anthropic.count_tokens"]], example=_ASKED)
def count() -> ResponseReturnValue:
    """Tell how many tokens of a conversation the model would read."""
    return generate(FORMATS["anthropic.count_tokens"])
