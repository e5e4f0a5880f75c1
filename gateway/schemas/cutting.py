"""What is too long to be read: refused, or cut off where a request has it so, in whichever server's words."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields

from gateway.schemas.objects import Strict
from gateway.schemas.parameters import INT32_MAX, Boolean, Integer, Only, whole
from gateway.schemas.problem import refuse, show, wrong_type

_WORDS = {"NONE": False, "END": True}


class CutAfter(Integer):
    """So many tokens; -1 for as many as the model reads."""

    def __init__(self) -> None:
        super().__init__(-1, INT32_MAX)

    @property
    def json_schema(self) -> dict[str, Any]:
        return {**super().json_schema, "not": {"const": 0}}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> int:
        if whole(value) == 0:
            raise refuse("invalid_value", "must be -1, or at least 1")
        return super()._deserialize(value, *args, **kwargs)


class Cuts(fields.Field[bool]):
    """Whether to cut off: as others have it a boolean, or a word that says on which side."""

    json_schema: ClassVar = {"anyOf": [{"type": "boolean"}, {"enum": list(_WORDS)}]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> bool:
        if isinstance(value, bool):
            return value
        if not isinstance(value, str):
            raise wrong_type("a boolean, or NONE or END", value)
        if value not in _WORDS:
            raise refuse("unsupported_value", f"{show(value)} is none of {', '.join(_WORDS)}")
        return _WORDS[value]


class CuttingSchema(Strict):
    truncate_prompt_tokens = CutAfter()  # vLLM's
    truncate = Cuts()  # Cohere's, Jina's, TEI's
    truncation = Boolean()  # Voyage's
    truncation_direction = Only("Right", "right")  # TEI's
    truncation_side = Only("right")  # vLLM's


def cut(given: dict[str, Any]) -> int | None:
    """What `read` returned, as the task's part: see `Embedding.cut`."""
    tokens: int | None = given.get("truncate_prompt_tokens")
    if tokens is not None:
        return max(0, tokens)
    return 0 if given.get("truncate") or given.get("truncation") else None
