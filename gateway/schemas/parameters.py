"""The kinds of parameters: marshmallow fields that never convert one JSON type into another.

"1" is no number, and true is no integer; 1.0 is one, for Lua, R and PHP write it so. null never reaches a field, except
inside an array. Each says what it takes as `json_schema`, in the words of JSON Schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, ClassVar

from marshmallow import ValidationError, fields

from gateway.schemas.caps import Cap
from gateway.schemas.json_schema import exactly
from gateway.schemas.problem import refuse, show, wrong_type

INT32_MAX = 2**31 - 1
"""Engines count tokens in 32 bits."""
LONGEST_TEXT = 1024
"""Characters of a text that is a name or the like: what a model reads is bounded by the body."""


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


def short(value: object, longest: int = LONGEST_TEXT, *, name: str | None = None) -> str:
    """The string, if it is one and no longer than that."""
    value = text(value, name=name)
    if len(value) > longest:
        raise refuse("string_above_max_length", f"at most {longest} characters, but it has {len(value)}", name=name)
    return value


def whole(value: object, expected: str = "an integer") -> int:
    """The integer, also where it is written as 1.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(expected, value)
    return value


class Text(fields.Field[str]):
    """A short one, `longest` characters at most."""

    def __init__(self, *, empty: bool = True, longest: int = LONGEST_TEXT, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.empty, self.longest = empty, longest

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 0 if self.empty else 1, "maxLength": self.longest}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        if value == "" and not self.empty:
            raise refuse("invalid_value", "the string must not be empty")
        return short(value, self.longest)


class Prose(fields.Field[str]):
    """One of any length: the body bounds it."""

    def __init__(self, *, empty: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.empty = empty

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", **({} if self.empty else {"minLength": 1})}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        if value == "" and not self.empty:
            raise refuse("invalid_value", "the string must not be empty")
        return text(value)


class Word(fields.Field[str]):
    """One of these."""

    def __init__(self, *words: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = words

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        if (word := text(value)) not in self.words:
            raise refuse("unsupported_value", f"{show(word)} is none of {', '.join(self.words)}")
        return word


class Boolean(fields.Field[bool]):
    json_schema: ClassVar = {"type": "boolean"}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise wrong_type("a boolean", value)
        return value


class Integer(fields.Field[int]):
    """An integer, `low` and `high` included."""

    def __init__(self, low: int, high: int | Cap, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = low, high

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": int(self.high)}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> int:
        value = whole(value)
        if value < self.low:
            raise refuse("integer_below_min_value", f"must be at least {self.low}, but is {show(value)}")
        if value > int(self.high):
            raise refuse("integer_above_max_value", f"must be at most {self.high}, but is {show(value)}")
        return value


class Number(fields.Field[float]):
    """A finite number, `low` and `high` included."""

    def __init__(self, low: float, high: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = low, high

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.low, "maximum": self.high}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type("a number", value)
        if not value >= self.low:
            raise refuse("decimal_below_min_value", f"must be at least {self.low}, but is {show(value)}")
        if value > self.high:
            raise refuse("decimal_above_max_value", f"must be at most {self.high}, but is {show(value)}")
        return float(value)


class Array(fields.List[Any]):
    """`low` to `high` values of one kind. The length is checked first, and the first bad value ends it."""

    def __init__(self, inner: fields.Field[Any], low: int, high: int | Cap, **kwargs: Any) -> None:
        super().__init__(inner, **kwargs)
        self.low, self.high = low, high

    @property
    def json_schema(self) -> dict[str, Any]:
        schema = getattr(self.inner, "json_schema", None)  # of an object it is found by name
        bounds = {"minItems": self.low, "maxItems": int(self.high)}
        return {"type": "array", **bounds, **({"items": schema} if schema else {})}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise wrong_type("an array", value)
        if len(value) < self.low:
            raise refuse("empty_array", "the array must not be empty")
        if len(value) > int(self.high):
            raise refuse("array_above_max_length", f"at most {self.high} elements, but there are {len(value)}")
        return each(value, self.inner.deserialize)


def each(values: Iterable[object], read: Callable[[Any], Any]) -> list[Any]:
    """What `read` makes of each; the first one that it refuses ends it, and the error names its place."""
    found = []
    for index, value in enumerate(values):
        try:
            found.append(read(value))
        except ValidationError as exc:
            raise ValidationError({index: exc.messages}) from exc
    return found


class Only(fields.Field[Any]):
    """A parameter that is not supported: accepted at the values that ask for nothing, refused at any other.

    `hint` tells what to do instead.
    """

    def __init__(self, *accepted: object, hint: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.accepted, self.hint = accepted, hint

    @property
    def words(self) -> list[str]:
        """The accepted values as JSON."""
        return [json.dumps(value) for value in self.accepted]

    @property
    def json_schema(self) -> dict[str, Any]:
        kinds = [exactly(value) for value in [*self.accepted, *([[]] if {} in self.accepted else ())]]
        return {"type": "null"} if not kinds else kinds[0] if len(kinds) == 1 else {"anyOf": kinds}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> object:
        # True == 1 in Python, not in JSON.
        if any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in self.accepted):
            return value
        if value == [] and {} in self.accepted:
            return {}
        hint = f"; {self.hint}" if self.hint else ""
        if self.accepted:
            raise refuse("unsupported_value", f"only {' or '.join(self.words)} is supported{hint}")
        raise refuse("unsupported_parameter", self.hint)


class Ignored(fields.Field[Any]):
    """A parameter that asks for nothing here: taken at what one of `kinds` takes, and told, see `Strict.ignored`."""

    def __init__(self, *kinds: fields.Field[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kinds = kinds

    @property
    def json_schema(self) -> dict[str, Any]:
        kinds: list[dict[str, Any]] = [kind.json_schema for kind in self.kinds]  # type: ignore[attr-defined]  # as every field here
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> object:
        for kind in self.kinds[:-1]:
            with suppress(ValidationError):
                return kind.deserialize(value)
        return self.kinds[-1].deserialize(value)
