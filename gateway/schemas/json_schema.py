"""What fields take, in the words of JSON Schema, as far as several say the same.

Generators of clients know these words: few have constants that are arrays, or arrays that say nothing of their items.
"""

from __future__ import annotations

from typing import Any

NO_ITEMS: dict[str, Any] = {"type": "array", "items": {}, "maxItems": 0}
"""An empty array."""


def mapping(**more: Any) -> dict[str, Any]:
    """An object that may be written as an array where it is empty."""
    return {"anyOf": [{"type": "object", **more}, NO_ITEMS]}


def exactly(value: object) -> dict[str, Any]:
    """This one value."""
    match value:
        case []:
            return NO_ITEMS
        case [item]:
            return {"type": "array", "items": exactly(item), "minItems": 1, "maxItems": 1}
        case {}:
            return {"type": "object", "maxProperties": 0}
        case _:
            return {"const": value}


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """The same, or null, which means that it is not given."""
    match schema:
        case {"anyOf": alternatives}:
            return {**schema, "anyOf": [*alternatives, {"type": "null"}]}
        case {"type": str(kind)} if not schema.keys() & {"enum", "const"}:
            return {**schema, "type": [kind, "null"]}
        case {"type": [*kinds]}:
            return {**schema, "type": [*kinds, "null"]}
        case _:
            return {"anyOf": [schema, {"type": "null"}]}
