"""POST /v1/infill, which llama.cpp's clients call /infill"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.openapi.operation import operation
from gateway.schemas import FORMATS

views = Blueprint("infill", __name__)


@views.post("/infill")
@operation(
    "createInfill",
    formats=[FORMATS["llama.cpp.infill"]],
    example={"model": "MODEL", "input_prefix": "def add(a, b):\n    return ", "input_suffix": "\n"},
)
def create() -> ResponseReturnValue:
    """Fill a gap in a text, as llama.cpp's server does."""
    return generate(FORMATS["llama.cpp.infill"])
