"""The kinds of parameters: marshmallow fields that never convert one JSON type into another.

"1" is no number, true is no integer, and 1.0 is no integer either; an integer is a number. null never reaches a field,
except inside an array.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, pre_load

from gateway.schemas.problem import refuse, show, show_key, wrong_type

INT32_MAX = 2**31 - 1
"""Engines count tokens in 32 bits."""


def text(value: object, *, name: str | None = None) -> str:
    """The string, if it is one that can be encoded: JSON's "\\ud800" makes a str that no UTF-8 can hold."""
    if not isinstance(value, str):
        raise wrong_type("a string", value, name=name)
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        reason = f"the character at position {exc.start} is half a surrogate pair"
        raise refuse("invalid_value", reason, name=name) from exc
    return value


class Text(fields.Field[str]):
    def __init__(self, *, empty: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.empty = empty

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        if value == "" and not self.empty:
            raise refuse("invalid_value", "the string must not be empty")
        return text(value)


class Boolean(fields.Field[bool]):
    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise wrong_type("a boolean", value)
        return value


class Integer(fields.Field[int]):
    """An integer, `low` and `high` included."""

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = low, high

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type("an integer", value)
        if value < self.low:
            raise refuse("integer_below_min_value", f"must be at least {self.low}, but is {show(value)}")
        if value > self.high:
            raise refuse("integer_above_max_value", f"must be at most {self.high}, but is {show(value)}")
        return value


class Number(fields.Field[float]):
    """A finite number, `low` and `high` included."""

    def __init__(self, low: float, high: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = low, high

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type("a number", value)
        if not value >= self.low:
            raise refuse("decimal_below_min_value", f"must be at least {self.low}, but is {show(value)}")
        if value > self.high:
            raise refuse("decimal_above_max_value", f"must be at most {self.high}, but is {show(value)}")
        return float(value)


class Array(fields.List[Any]):
    """`low` to `high` values of one kind. The length is checked first, so that a flood of bad values costs nothing."""

    def __init__(self, inner: fields.Field[Any], low: int, high: int, **kwargs: Any) -> None:
        super().__init__(inner, **kwargs)
        self.low, self.high = low, high

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise wrong_type("an array", value)
        if len(value) < self.low:
            raise refuse("empty_array", "the array must not be empty")
        if len(value) > self.high:
            raise refuse("array_above_max_length", f"at most {self.high} elements, but there are {len(value)}")
        return super()._deserialize(value, *args, **kwargs)


class Object(fields.Field[dict[str, Any]]):
    """An object with any keys; with `strings`, one whose values are all strings."""

    def __init__(self, *, strings: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strings = strings

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_type("an object", value)
        for key, item in value.items():
            if self.strings and not isinstance(item, str):
                raise wrong_type("a string", item, name=show_key(key))
        return value


class Only(fields.Field[Any]):
    """A parameter that is not supported: accepted at the values that ask for nothing, refused at any other."""

    def __init__(self, *accepted: object, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.accepted = accepted

    @property
    def words(self) -> list[str]:
        """The accepted values as JSON."""
        return [json.dumps(value) for value in self.accepted]

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> object:
        # 1 == True == 1.0 in Python, not in JSON.
        if any(type(value) is type(one) and value == one for one in self.accepted):
            return value
        if self.accepted:
            raise refuse("unsupported_value", f"only {' or '.join(self.words)} is supported")
        raise refuse("unsupported_parameter")


class Strict(Schema):
    """An object all of whose keys are known. null means: not given."""

    class Meta:
        unknown = EXCLUDE  # `known` has refused them before, in the order of the request

    @pre_load
    def known(self, data: object, **kwargs: Any) -> Mapping[str, Any]:
        if not isinstance(data, dict):
            raise wrong_type("an object", data)
        refuse_unknown(data, self.fields)
        return {key: value for key, value in data.items() if value is not None}


def refuse_unknown(data: Iterable[str], known: Iterable[str]) -> None:
    for key in data:
        if key not in known:
            raise refuse("unknown_parameter", name=show_key(key))
