"""Shapes of several kinds, each kind as a component of its own: generators of clients need a name for every class."""

from __future__ import annotations

import re

from gateway.openapi.answers import JsonSchema


def divide(name: str, shape: JsonSchema) -> dict[str, JsonSchema]:
    """The components that a shape is: itself, and before it the objects that it may be, by the first of their types."""
    kinds = dict[str, JsonSchema]()
    alternatives = []
    for kind in shape.get("anyOf", ()):
        if "properties" in kind:
            part = f"{name}{_word(kind['properties'].get('type', {}))}"
            part = part if part not in kinds else f"{part}{len(kinds)}"
            kinds[part] = kind
            kind = {"$ref": f"#/components/schemas/{part}"}
        alternatives.append(kind)
    return {**kinds, name: {**shape, "anyOf": alternatives} if kinds else shape}


def _word(kind: JsonSchema) -> str:
    first = str(next(iter(kind.get("enum", ())), kind.get("const", "kind")))
    return "".join(part.capitalize() for part in re.split(r"[^a-zA-Z0-9]+", first))
