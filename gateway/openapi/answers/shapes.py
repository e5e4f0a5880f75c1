"""Small words for what is answered, in JSON Schema, of which everything larger is made.

No object is closed: clients pass over what they do not know, since a later release may tell more. The tests close them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JsonSchema = dict[str, Any]

TEXT: JsonSchema = {"type": "string"}
FLAG: JsonSchema = {"type": "boolean"}
NUMBER: JsonSchema = {"type": "number"}
INTEGER: JsonSchema = {"type": "integer"}
COUNT: JsonSchema = {"type": "integer", "minimum": 0}
SECONDS: JsonSchema = {"type": "integer", "minimum": 0, "description": "Unix time, in seconds."}
NOTHING: JsonSchema = {"type": "null"}
OBJECT: JsonSchema = {"type": "object"}
ANYTHING: JsonSchema = {"type": ["object", "array", "string", "number", "boolean", "null"], "items": {}}
"""What the client has sent itself, or what another wrote."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What comes of one operation that went well."""

    body: JsonSchema
    """Of the whole answer; `{"$ref": "#/components/schemas/NAME"}` is one of `SHAPES`."""
    event: JsonSchema | None = None
    """Of what each server-sent event holds as `data`."""
    beside: Mapping[int, JsonSchema | None] = field(default_factory=dict)
    """What comes with another status, of JSON; None: no body."""


Answers = dict[tuple[str, str], Answered]
"""By method and path."""


def record(optional: JsonSchema | None = None, /, **told: JsonSchema) -> JsonSchema:
    """An object that always has what is `told`, and sometimes what is optional."""
    return {"type": "object", "properties": {**told, **(optional or {})}, "required": [*told]}


def array(items: JsonSchema, **more: Any) -> JsonSchema:
    return {"type": "array", "items": items, **more}


def table(values: JsonSchema) -> JsonSchema:
    """An object whose keys are anybody's."""
    return {"type": "object", "additionalProperties": values}


def word(*words: str) -> JsonSchema:
    """One of these strings."""
    return {"type": "string", "enum": [*words]}


def either(*kinds: JsonSchema) -> JsonSchema:
    return {"anyOf": [*kinds]}


def nullable(kind: JsonSchema) -> JsonSchema:
    return either(kind, NOTHING)


def ref(name: str) -> JsonSchema:
    """One of `SHAPES`."""
    return {"$ref": f"#/components/schemas/{name}"}


def page(of: JsonSchema) -> JsonSchema:
    """One page of a list."""
    ids = {"first_id": nullable(TEXT), "last_id": nullable(TEXT), "has_more": FLAG}
    return record(object=word("list"), data=array(of), **ids)


def deleted(kind: str) -> JsonSchema:
    return record(id=TEXT, object=word(kind), deleted={"const": True, "type": "boolean"})
