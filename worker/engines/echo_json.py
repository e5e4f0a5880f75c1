"""JSON of a schema, for the echo engine, whose texts are to be known: what is minimal, and whether a value is one.

It knows what schemas mostly consist of, and passes over the rest: `pattern`, `format`, `not`, `if` and others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from shared.errors import InvalidRequest

LARGEST_ECHOED_JSON = 262_144
"""Steps that looking at a value may take, or characters and members that one may have which is made: a small schema may
say a huge one."""

_TYPES: dict[str, type | tuple[()]] = {"object": dict, "array": list, "string": str, "null": type(None)}


def parse(text: str) -> Any:
    """What the text says as JSON. Raises ValueError."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ValueError("no JSON") from exc


def keep(text: str, schema: str) -> str:
    """The text where it is JSON of the schema; else JSON that is, with the text as its first string.

    Raises InvalidRequest where that would be too large.
    """
    try:
        value = parse(text)
    except ValueError:
        allowed = False
    else:
        allowed = _Shape(schema).allows(value)
    return text if allowed else json.dumps(_Shape(schema, text).least(), ensure_ascii=False)


class _Shape:
    """One schema, for one use."""

    def __init__(self, source: str, text: str = "") -> None:
        self._root: Any = parse(source)
        self._text = text
        self._left = LARGEST_ECHOED_JSON

    def allows(self, value: Any) -> bool:
        """Whether the value is one of the schema."""
        with _understood():
            return self._allows(value, self._root)

    def least(self) -> Any:
        """A value of the schema with no more than it has to have."""
        with _understood():
            return self._least(self._root)

    def _spend(self, size: float) -> None:
        self._left -= int(min(size, LARGEST_ECHOED_JSON + 1))
        if self._left < 0:
            raise RecursionError

    def _flat(self, schema: Any) -> dict[str, Any]:
        """The schema with what `$ref` and `allOf` say of it."""
        self._spend(1 + len(schema) if isinstance(schema, dict) else 1)
        if not isinstance(schema, dict):
            return {}
        flat = {name: value for name, value in schema.items() if name not in ("$ref", "allOf")}
        referred = [self._find(schema["$ref"])] if "$ref" in schema else []
        for other in map(self._flat, [*referred, *schema.get("allOf", [])]):
            properties = {**other.get("properties", {}), **flat.get("properties", {})}
            required = [*other.get("required", []), *flat.get("required", [])]
            self._spend(len(properties) + len(required))
            flat = {**other, **flat, "properties": properties, "required": required}
        return flat

    def _find(self, reference: str) -> Any:
        found = self._root
        for name in reference.removeprefix("#").split("/")[1:]:
            name = name.replace("~1", "/").replace("~0", "~")
            found = found[int(name)] if isinstance(found, list) else found.get(name, {})
        return found

    def _allows(self, value: Any, schema: Any) -> bool:
        if isinstance(schema, bool):
            return schema
        flat = self._flat(schema)
        self._spend(len(flat.get("enum", [])) + len(flat.get("required", [])))
        return (
            ("const" not in flat or _same(value, flat["const"]))
            and ("enum" not in flat or any(_same(value, each) for each in flat["enum"]))
            and ("type" not in flat or any(_is(value, kind) for kind in _list(flat["type"])))
            and all(
                any(self._allows(value, each) for each in flat[name]) for name in ("anyOf", "oneOf") if name in flat
            )
            and self._parts_allowed(value, flat)
        )

    def _parts_allowed(self, value: Any, flat: dict[str, Any]) -> bool:
        match value:
            case dict():
                known, other = flat.get("properties", {}), flat.get("additionalProperties", True)
                return set(flat.get("required", [])) <= value.keys() and all(
                    self._allows(member, known.get(name, other)) for name, member in value.items()
                )
            case list():
                first, other = flat.get("prefixItems", []), flat.get("items", True)
                return flat.get("minItems", 0) <= len(value) <= flat.get("maxItems", len(value)) and all(
                    self._allows(item, first[i] if i < len(first) else other) for i, item in enumerate(value)
                )
            case str():
                return bool(flat.get("minLength", 0) <= len(value) <= flat.get("maxLength", len(value)))
            case bool() | None:
                return True
        return bool(
            flat.get("minimum", value) <= value <= flat.get("maximum", value)
            and ("exclusiveMinimum" not in flat or value > flat["exclusiveMinimum"])
            and ("exclusiveMaximum" not in flat or value < flat["exclusiveMaximum"])
            and value % flat.get("multipleOf", value or 1) == 0
        )

    def _least(self, schema: Any) -> Any:
        flat = self._flat(schema)
        if "const" in flat or "enum" in flat:
            value = flat["const"] if "const" in flat else flat["enum"][0]
            self._spend(len(msgspec.json.encode(value)))
            return value
        for name in ("anyOf", "oneOf"):
            if name in flat:
                rest = {key: value for key, value in flat.items() if key != name}
                return self._least({"allOf": [flat[name][0], rest]})
        kinds = _list(flat.get("type", "object" if flat.get("properties") else "string"))
        match kinds[0]:
            case "object":
                known, names = flat.get("properties", {}), dict.fromkeys(flat.get("required", []))
                self._spend(sum(map(len, names)))
                return {name: self._least(known.get(name, {})) for name in names}
            case "array":
                first, other = flat.get("prefixItems", []), flat.get("items", {})
                least = flat.get("minItems", 0)
                self._spend(least)
                return [self._least(first[i] if i < len(first) else other) for i in range(least)]
            case "string":
                least, most = flat.get("minLength", 0), flat.get("maxLength", len(self._text))
                self._spend(least)
                said, self._text = self._text[:most], ""
                return said.ljust(least, "x")
            case "boolean":
                return False
            case "null":
                return None
        return _number(flat)


def _number(flat: dict[str, Any]) -> float:
    """The number nearest to 0 of those that its bounds and its step allow."""
    step: float = flat.get("multipleOf", 1)
    low: float | None = flat.get("minimum")
    high: float | None = flat.get("maximum")
    if (above := flat.get("exclusiveMinimum")) is not None:
        low = above + step if low is None else max(low, above + step)
    if (below := flat.get("exclusiveMaximum")) is not None:
        high = below - step if high is None else min(high, below - step)
    value: float = 0
    if low is not None and low > 0:
        value = math.ceil(low / step) * step
    elif high is not None and high < 0:
        value = math.floor(high / step) * step
    return int(value) if value == int(value) else value


def _is(value: Any, kind: str) -> bool:
    match value:
        case bool():
            return kind == "boolean"
        case int():
            return kind in ("integer", "number")
        case float():
            return kind == "number" or (kind == "integer" and value.is_integer())
    return isinstance(value, _TYPES.get(kind, ()))


def _same(one: Any, other: Any) -> bool:
    """JSON has no number that is also a boolean."""
    return type(one) is type(other) and one == other


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@contextmanager
def _understood() -> Iterator[None]:
    """Schemas were checked before, but for the engines that compute."""
    try:
        yield
    except RecursionError as exc:
        problem = f"a value of this schema takes more than the {LARGEST_ECHOED_JSON} steps that echo makes"
        raise InvalidRequest(problem) from exc
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as exc:
        raise InvalidRequest("echo does not understand this schema") from exc
