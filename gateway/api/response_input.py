"""What a response is given: POST /v1/responses/input_tokens"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.schemas import FORMATS

views = Blueprint("response_input", __name__)


@views.post("/responses/input_tokens")
def count() -> ResponseReturnValue:
    return generate(FORMATS["openai.input_tokens"])
