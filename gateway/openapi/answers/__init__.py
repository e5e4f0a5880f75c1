"""What operations answer, in the words of JSON Schema: what a client may rely on."""

from __future__ import annotations

from gateway.openapi.answers import anthropic, chats, ollama, overview, responses, service, stored, tokens
from gateway.openapi.answers.shapes import Answered, Answers, JsonSchema

__all__ = ["ANSWERS", "SHAPES", "Answered", "JsonSchema"]

_FAMILIES = (chats, responses, anthropic, ollama, stored, tokens, service, overview)
SHAPES: dict[str, JsonSchema] = {name: shape for family in _FAMILIES for name, shape in family.SHAPES.items()}
"""Those that several name, by name; the description lists them among its components."""
ANSWERS: Answers = {place: answered for family in _FAMILIES for place, answered in family.ANSWERS.items()}
"""By method and path, as in `("GET", "/v1/files/{file_id}")`. What is not among them is any JSON."""
