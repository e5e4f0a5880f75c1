"""POST /v1/chat/completions"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.openapi.operation import operation
from gateway.schemas import FORMATS

views = Blueprint("chat", __name__)


@views.post("/chat/completions")
@operation(
    "createChatCompletion",
    formats=[FORMATS["openai.chat"]],
    example={"model": "MODEL", "messages": [{"role": "user", "content": "Hello!"}]},
)
def create() -> ResponseReturnValue:
    """Answer a conversation."""
    return generate(FORMATS["openai.chat"])
