"""/v1/rerank"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.openapi.operation import operation
from gateway.schemas import FORMATS

views = Blueprint("rerank", __name__)

RERANK = FORMATS["cohere.rerank"]
_ASKED = {"model": "MODEL", "query": "What is a fox?", "documents": ["A red animal.", "A colour."]}


@views.post("/rerank")
@operation("createRerank", formats=[RERANK, FORMATS["tei.rerank_texts"]], example=_ASKED)
def rank() -> ResponseReturnValue:
    """Tell how well each of several documents answers a query, the best first."""
    return generate(RERANK)
