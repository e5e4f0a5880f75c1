"""/v1/rerank, which llama.cpp's server calls /v1/reranking as well"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.schemas import FORMATS

views = Blueprint("rerank", __name__)


@views.post("/rerank")
@views.post("/reranking")
def rank() -> ResponseReturnValue:
    return generate(FORMATS["cohere.rerank"])
