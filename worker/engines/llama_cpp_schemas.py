"""What schemas of arguments say that llama.cpp's own grammars keep, and which texts they have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_KEPT = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "items", "prefixItems", "enum", "const", "anyOf"),
        *("$ref", "$defs", "definitions", "minItems", "maxItems"),
        *("description", "title", "default", "examples", "$schema", "$id", "$comment"),  # these say nothing
    }
)
"""Lengths are not among them: what is no character counts there as one, and comes as several."""
PROSE = ("description", "title")
"""Keywords that only describe."""
_NAMED = ("properties", "$defs", "definitions")
"""Keywords whose members are schemas by name."""
_VALUES = ("enum", "const", "default", "examples", "required")
"""Keywords with values, which are no schemas."""
MOST_OPTIONS = 500
"""Properties and values of enums, of all tools of a request together: each costs llama.cpp time, in which it may serve
nobody else."""
MOST_REPETITIONS = 1000
"""Items of an array, or characters of a text, that a schema may bound: llama.cpp writes each of them down."""
_OPTIONS = ("properties", "enum")
_REPETITIONS = ("minItems", "maxItems", "minLength", "maxLength")


def are_cheap(parameters: Iterable[str]) -> bool:
    """Whether llama.cpp's grammars of these schemas take little time. A pattern may take any."""
    options = 0
    parts: list[Any] = [json.loads(schema) for schema in parameters if schema]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            longest = max(_number(part.get(name)) for name in _REPETITIONS)
            if longest > MOST_REPETITIONS or isinstance(part.get("pattern"), str):
                return False
            options += sum(len(part[name]) for name in _OPTIONS if isinstance(part.get(name), dict | list))
            parts += part.values()
    return options <= MOST_OPTIONS


def _number(value: Any) -> float:
    """0 for what is none: it is a property with the keyword's name."""
    return value if isinstance(value, int | float) else 0


def keeps_schema(parameters: str) -> bool:
    """Whether llama.cpp's grammars keep all of it. Empty is one that says nothing."""
    return not parameters or _keeps(json.loads(parameters))


def required(parameters: str) -> list[str]:
    """What arguments have to have."""
    names = json.loads(parameters).get("required") if parameters else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def answer_texts(parameters: str) -> Iterator[str]:
    """All texts of a schema that may come in arguments: all but those that only describe them."""
    if parameters:
        yield from _texts(json.loads(parameters))


def _texts(schema: Any) -> Iterator[str]:
    match schema:
        case str():
            yield schema
        case dict():
            for name, part in schema.items():
                yield name
                if not (name in PROSE and isinstance(part, str)):
                    yield from _texts(part)
        case list():
            for part in schema:
                yield from _texts(part)


def _keeps(schema: Any) -> bool:
    match schema:
        case bool():
            return True
        case dict():
            return schema.keys() <= _KEPT and all(map(_keeps, _parts(schema)))
    return False


def _parts(schema: Mapping[str, Any]) -> Sequence[Any]:
    """The schemas that one is made of."""
    found: list[Any] = []
    for keyword, part in schema.items():
        if keyword in _NAMED:
            found += part.values() if isinstance(part, dict) else [None]
        elif isinstance(part, dict) and keyword not in _VALUES:
            found.append(part)
        elif keyword in ("anyOf", "prefixItems"):
            found += part if isinstance(part, list) else [None]
    return found
