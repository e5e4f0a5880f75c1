"""Objects of requests: those whose keys are all known, and those with any keys.

An empty one may also be written as `[]`, as PHP does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from marshmallow import EXCLUDE, INCLUDE, Schema, ValidationError, fields, missing, pre_load
from msgspec.json import encode

from gateway.schemas.caps import capped
from gateway.schemas.json_schema import NO_ITEMS, mapping, nullable
from gateway.schemas.parameters import LONGEST_TEXT, Ignored, short, text
from gateway.schemas.problem import first, refuse, show, show_key, wrong_type
from shared.card import Ability
from shared.config import Config

MOST_PAIRS = 64
"""Keys of an object with any keys; OpenAI allows 16 of `metadata`."""


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
        return mapping(maxProperties=MOST_PAIRS, additionalProperties=values)

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
    def parameters(self) -> Lenient:
        assert isinstance(self.schema, Lenient), "what it is made of"
        return self.schema

    @property
    def json_schema(self) -> dict[str, Any]:
        schema = self.parameters.described
        return schema if schema["required"] else {"anyOf": [schema, NO_ITEMS]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> Any:
        return super()._deserialize(keyed(value), *args, **{**kwargs, "partial": None})


class Variant(fields.Field[Any]):
    """An object of one of several kinds. Its `type` says which; where it says nothing, it is the first.

    `hint` tells what to do instead of any other.
    """

    def __init__(self, kinds: Mapping[str, Lenient], *, hint: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kinds, self.hint = kinds, hint

    @property
    def json_schema(self) -> dict[str, Any]:
        usual = next(iter(self.kinds))
        return {"anyOf": [_typed(schema.described, kind, usual) for kind, schema in self.kinds.items()]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise wrong_type("an object", value)
        kind = next(iter(self.kinds)) if value.get("type") is None else text(value["type"], name="type")
        if kind not in self.kinds:
            hint = f"; {self.hint}" if self.hint else ""
            raise refuse("unsupported_value", f"{show(kind)} is none of {', '.join(self.kinds)}{hint}", name="type")
        return self.kinds[kind].load({key: part for key, part in value.items() if key != "type"})


def _typed(schema: dict[str, Any], kind: str, usual: str) -> dict[str, Any]:
    """The `json_schema` of that kind of a `Variant`."""
    named = {"type": {"enum": [kind, None] if kind == usual else [kind]}, **schema["properties"]}
    return {**schema, "properties": named, "required": [*schema["required"], *(["type"] if kind != usual else ())]}


class Optional(frozenset[str]):
    """Names of fields that say nothing where they are missing, as marshmallow's `partial`: it passes over them, instead
    of asking each of more than a hundred. Nothing is handed on to objects within, which have their own."""

    def __iter__(self) -> Iterator[str]:
        return iter(())


class Lenient(Schema):
    """An object that clients store and send back: what is unknown of it is ignored. null means: not given."""

    class Meta:
        unknown = INCLUDE

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        optional = [name for name, one in self.load_fields.items() if not one.required and one.load_default is missing]
        self.partial = self.partial or Optional(optional)

    @property
    def described(self) -> dict[str, Any]:
        """What it takes, as the `json_schema` of fields."""
        described: dict[str, Any] = {name: field.json_schema for name, field in self.fields.items()}  # type: ignore[attr-defined]  # as every field here
        required = [name for name in described if self.fields[name].required]
        optional = {name: nullable(one) for name, one in described.items() if name not in required}
        known = {"type": "object", "properties": {**described, **optional}, "required": required}
        return {**known, "additionalProperties": self.unknown == INCLUDE}

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

    named: ClassVar[tuple[str, ...]] = ()
    """Keys that have to be there, if only with null."""

    def judge_keys(self, data: dict[str, Any]) -> None:
        for key in data:
            if key not in self.fields:
                raise refuse("unknown_parameter", name=show_key(key))
        for key in self.named:
            if key not in data:
                raise refuse("missing_required_parameter", name=key)

    def read(self, body: object, config: Config) -> dict[str, Any]:
        """The given parameters by name, valid and within the operator's caps. Raises InvalidRequest."""
        try:
            with capped(config):
                given: dict[str, Any] = self.load(body)  # type: ignore[arg-type]  # whatever JSON gave: `known` looks
        except ValidationError as exc:
            raise first(exc) from exc
        return given

    def needs(self, data: Mapping[str, Any]) -> dict[str, Ability]:
        """What of an object that was found valid asks for nothing of a model that lacks an ability, by its name."""
        return {}

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        """The names of what asks for nothing here, of an object that was found valid; of one within, all or a part."""
        found = []
        for key in (name for name in self.fields if data.get(name) is not None):
            field = self.fields[key]
            if isinstance(field, Ignored):
                found.append(key)
            elif isinstance(field, Member) and isinstance(field.parameters, Strict):
                within = {name: value for name, value in keyed(data[key]).items() if value is not None}
                names = field.parameters.ignored(within)
                found += [key] if len(names) == len(within) > 0 else [f"{key}.{name}" for name in names]
        return found


def bound_keys(data: dict[str, Any]) -> None:
    """Refuse an object with too many of any keys."""
    if len(data) > MOST_PAIRS:
        raise refuse("invalid_value", f"at most {MOST_PAIRS} keys, but there are {len(data)}")


def levels(value: object) -> int:
    """How many arrays and objects lie in one another."""
    found, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        found += 1
        level = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
    return found


def write_json(value: dict[str, Any]) -> str:
    """The object as JSON, compact. Raises ValidationError for what cannot be written: it came from elsewhere."""
    try:
        return encode(value).decode()
    except (UnicodeEncodeError, RecursionError, TypeError) as exc:
        raise refuse("invalid_value", "it cannot be written as JSON") from exc
