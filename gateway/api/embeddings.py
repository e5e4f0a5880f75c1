"""/v1/embeddings"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.openapi.operation import operation
from gateway.schemas import FORMATS

views = Blueprint("embeddings", __name__)


@views.post("/embeddings")
@operation(
    "createEmbedding",
    formats=[FORMATS["openai.embedding"]],
    example={"model": "MODEL", "input": ["Hello!", "Goodbye!"]},
)
def create() -> ResponseReturnValue:
    """Tell the vectors of texts."""
    return generate(FORMATS["openai.embedding"])
