"""POST /v1/completions"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.schemas import FORMATS

views = Blueprint("completions", __name__)


@views.post("/completions")
def create() -> ResponseReturnValue:
    return generate(FORMATS["openai.completion"])
