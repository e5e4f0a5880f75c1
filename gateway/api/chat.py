"""POST /v1/chat/completions"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.schemas import FORMATS

views = Blueprint("chat", __name__)


@views.post("/chat/completions")
def create() -> ResponseReturnValue:
    return generate(FORMATS["openai.chat"])
