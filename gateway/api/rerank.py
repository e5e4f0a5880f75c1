"""/v1/rerank"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.openapi.operation import operation
from gateway.schemas import FORMATS

views = Blueprint("rerank", __name__)

RERANK = FORMATS["cohere.rerank"]


@views.post("/rerank")
@operation("createRerank", formats=[RERANK, FORMATS["tei.rerank_texts"]])
def rank() -> ResponseReturnValue:
    """Tell how well each of several documents answers a query, the best first."""
    return generate(RERANK)
