"""What operations answer, in the words of JSON Schema: what a client may rely on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

JsonSchema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """What comes of one operation that went well."""

    body: JsonSchema
    """Of the whole answer; `{"$ref": "#/components/schemas/NAME"}` is one of `SHAPES`."""
    event: JsonSchema | None = None
    """Of what each server-sent event holds as `data`."""


SHAPES: dict[str, JsonSchema] = {}
"""Those that several name, by name; the description lists them among its components."""
ANSWERS: dict[tuple[str, str], Answered] = {}
"""By method and path, as in `("GET", "/v1/files/{file_id}")`. What is not among them is any JSON."""
