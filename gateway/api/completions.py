"""POST /v1/completions"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.openapi.operation import operation
from gateway.schemas import FORMATS

views = Blueprint("completions", __name__)


@views.post("/completions")
@operation(
    "createCompletion", formats=[FORMATS["openai.completion"]], example={"model": "MODEL", "prompt": "Once upon a time"}
)
def create() -> ResponseReturnValue:
    """Go on with a text, or fill a gap before a `suffix`."""
    return generate(FORMATS["openai.completion"])
