"""Objects of requests: those whose keys are all known, and those with any keys.

An empty one may also be written as `[]`, as PHP does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, INCLUDE, Schema, fields, pre_load

from gateway.schemas.parameters import LONGEST_TEXT, Ignored, short
from gateway.schemas.problem import refuse, show_key, wrong_type

MOST_PAIRS = 64
"""Keys of an object with any keys; OpenAI allows 16 of `metadata`."""
EMPTY: dict[str, Any] = {"type": ["object", "array"], "maxItems": 0}
"""The `json_schema` of an object that may be written as an array where it is empty."""


def keyed(value: object) -> dict[str, Any]:
    """The object, also where it is empty and written as an array."""
    if value == []:
        return {}
    if not isinstance(value, dict):
        raise wrong_type("an object", value)
    return value


class Object(fields.Field[dict[str, Any]]):
    """An object with any keys; with `strings`, one whose values are all short strings."""

    def __init__(self, *, strings: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strings = strings

    @property
    def json_schema(self) -> dict[str, Any]:
        values = {"type": "string", "maxLength": LONGEST_TEXT} if self.strings else True
        return {**EMPTY, "maxProperties": MOST_PAIRS, "additionalProperties": values}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> dict[str, Any]:
        value = keyed(value)
        bound_keys(value)
        if self.strings:
            for key, item in value.items():
                short(item, name=show_key(key))
        return value


class Member(fields.Nested):
    """An object with parameters of its own."""

    @property
    def parameters(self) -> Strict:
        assert isinstance(self.schema, Strict), "what it is made of"
        return self.schema

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> Any:
        return super()._deserialize(keyed(value), *args, **kwargs)


class Lenient(Schema):
    """An object that clients store and send back: what is unknown of it is ignored. null means: not given."""

    class Meta:
        unknown = INCLUDE

    @pre_load
    def given(self, data: object, **kwargs: Any) -> Mapping[str, Any]:
        if not isinstance(data, dict):
            raise wrong_type("an object", data)
        self.judge_keys(data)
        return {key: value for key, value in data.items() if value is not None}

    def judge_keys(self, data: dict[str, Any]) -> None:
        """Raises ValidationError."""
        bound_keys(data)


class Strict(Lenient):
    """An object all of whose keys are known. null means: not given."""

    class Meta:
        unknown = EXCLUDE  # they are refused before, in the order of the request

    def judge_keys(self, data: dict[str, Any]) -> None:
        for key in data:
            if key not in self.fields:
                raise refuse("unknown_parameter", name=show_key(key))

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        """The names of what asks for nothing here, of an object that was found valid; of one within, all or a part."""
        found = []
        for key in (name for name in self.fields if data.get(name) is not None):
            field = self.fields[key]
            if isinstance(field, Ignored):
                found.append(key)
            elif isinstance(field, Member):
                within = {name: value for name, value in keyed(data[key]).items() if value is not None}
                names = field.parameters.ignored(within)
                found += [key] if len(names) == len(within) > 0 else [f"{key}.{name}" for name in names]
        return found


def bound_keys(data: dict[str, Any]) -> None:
    """Refuse an object with too many of any keys."""
    if len(data) > MOST_PAIRS:
        raise refuse("invalid_value", f"at most {MOST_PAIRS} keys, but there are {len(data)}")
