"""JSON Schemas as people read them: one line for each thing that has a name, however deep it lies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_TELLING = frozenset({"type", "enum", "const", "anyOf", "oneOf", "allOf", "properties"})
Schemas = Mapping[str, Any]
"""The components, by name."""
_DEEPEST = 6
"""Names that one line may have."""
_LONGEST = 12
"""Values that are all told of an enumeration."""


@dataclass(slots=True)
class Property:
    """A property, of all the alternatives in which it stands at this place."""

    name: str
    """As errors name it, as in `messages[].role`."""
    required: bool
    kinds: list[str] = field(default_factory=list)
    """What it may be, in words."""
    description: str = ""


def outline(schema: Any, schemas: Schemas) -> list[Property]:
    """The properties of what a schema describes, from without to within."""
    lines: dict[str, Property] = {}
    _walk(schema, "", schemas, (), lines)
    return list(lines.values())


def kinds(schema: Any, schemas: Schemas) -> list[str]:
    """What it may be, in words."""
    return list(dict.fromkeys(_kinds(schema, schemas)))


def _walk(schema: Any, path: str, schemas: Schemas, seen: tuple[str, ...], lines: dict[str, Property]) -> None:
    parts = [*_alternatives(schema, schemas, seen)]
    required = [part.get("required", ()) for part, _ in parts if "properties" in part]
    for part, within in parts:
        for name, one in part.get("properties", {}).items():
            place = f"{path}.{name}" if path else name
            line = lines.setdefault(place, Property(place, all(name in names for names in required)))
            line.kinds += [kind for kind in kinds(one, schemas) if kind not in line.kinds]
            line.description = line.description or (one.get("description", "") if isinstance(one, dict) else "")
            if place.count(".") < _DEEPEST:
                _walk(one, place, schemas, within, lines)
        if "items" in part:
            _walk(part["items"], f"{path}[]", schemas, within, lines)
        if isinstance(part.get("additionalProperties"), dict):
            _walk(part["additionalProperties"], f"{path}.{{key}}", schemas, within, lines)


def _alternatives(
    schema: Any, schemas: Schemas, seen: tuple[str, ...]
) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """The parts of a schema that say something themselves, each with the components that led to it; none twice."""
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        if (name := schema["$ref"].rpartition("/")[2]) not in seen:
            yield from _alternatives(schemas[name], schemas, (*seen, name))
        return
    for word in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(word, ()):
            yield from _alternatives(one, schemas, seen)
    yield schema, seen


def _kinds(schema: Any, schemas: Schemas) -> Iterator[str]:
    for part, _ in _alternatives(schema, schemas, ()):
        values = [part["const"]] if "const" in part else part.get("enum", ())
        if told := [json.dumps(value, ensure_ascii=False) for value in values if value is not None]:
            yield " or ".join(told) if len(told) <= _LONGEST else f"{', '.join(told[:_LONGEST])}, …"
            continue
        if not part.keys() & _TELLING:
            yield "anything"
        types = part.get("type", ())
        for kind in [types] if isinstance(types, str) else types:
            if kind != "null" and not (kind == "array" and part.get("maxItems") == 0):
                yield kind + _bounds(kind, part)


def _bounds(kind: str, part: dict[str, Any]) -> str:
    match kind:
        case "integer" | "number":
            low, high, of = part.get("minimum"), part.get("maximum"), ""
        case "array":
            low, high, of = part.get("minItems") or None, part.get("maxItems"), " of"
        case "string":
            return f" of up to {part['maxLength']} characters" if "maxLength" in part else ""
        case _:
            return ""
    if high is None:
        return "" if low is None else f"{of} {_plain(low)} or more"
    if low is None:
        return f"{of} up to {_plain(high)}"
    return f"{of} {_plain(low)} to {_plain(high)}"


def _plain(number: float) -> str:
    return str(int(number) if number == int(number) else number)
