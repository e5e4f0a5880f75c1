"""/v1/embeddings"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.generation import generate
from gateway.schemas import FORMATS

views = Blueprint("embeddings", __name__)


@views.post("/embeddings")
def create() -> ResponseReturnValue:
    return generate(FORMATS["openai.embedding"])
