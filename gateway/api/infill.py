"""POST /v1/infill, which llama.cpp's clients call /infill"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.schemas import FORMATS

views = Blueprint("infill", __name__)


@views.post("/infill")
def create() -> ResponseReturnValue:
    return generate(FORMATS["llama.cpp.infill"])
