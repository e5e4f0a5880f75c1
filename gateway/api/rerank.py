"""/v1/rerank, which llama.cpp's server calls /v1/reranking as well"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.openapi.operation import operation
from gateway.schemas import FORMATS

views = Blueprint("rerank", __name__)

_FORMATS = [FORMATS["cohere.rerank"], FORMATS["tei.rerank_texts"]]


@views.post("/rerank")
@views.post("/reranking")
@operation("rerank", at="POST /v1/rerank", formats=_FORMATS)
@operation("reranking", at="POST /v1/reranking", formats=_FORMATS)
def rank() -> ResponseReturnValue:
    """Order texts by how well they answer a query."""
    return generate(FORMATS["cohere.rerank"])
