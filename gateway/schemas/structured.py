"""What requests say of the form of an answer, in the words of OpenAI, llama.cpp and vLLM: all of it is one `Grammar`.

What it says is read here; whether it can be kept is looked at before the job is queued, see `gateway/grammars.py`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from marshmallow import fields, post_load
from msgspec.structs import replace

from gateway.schemas.gbnf import read_grammar
from gateway.schemas.objects import Member, Strict, levels, write_json
from gateway.schemas.parameters import Array, Boolean, Ignored, Only, Text, Word, text
from gateway.schemas.problem import refuse, wrong_type
from shared.errors import InvalidRequest
from shared.protocol import Grammar

LARGEST_GRAMMAR = 65_536
"""Bytes of a schema, an expression or a grammar."""
MOST_LEVELS = 64
"""Levels to which the arrays and objects of a schema lie in one another."""
MOST_CHOICES = 1_000
"""Strings in `guided_choice`."""

ANY_OBJECT = '{"type":"object"}'
_TAGS = "tags within a text cannot be kept; use 'tools', or 'json_schema'"
_UNFIT = ("ignore_eos", "min_tokens", "stop_token_ids", "return_token_ids")
"""Parameters with which a grammar cannot be kept: nothing may come after its end, and nothing be computed again."""


class Source(fields.Field[str]):
    """A text in a language of its own."""

    json_schema: ClassVar = {"type": "string", "maxLength": LARGEST_GRAMMAR}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        return bound(text(value))


class Schema(fields.Field[str]):
    """A JSON Schema, also one that is written in a string; as JSON, with its keys in their order."""

    json_schema: ClassVar = {"anyOf": [{"type": "object"}, {"type": "string", "maxLength": LARGEST_GRAMMAR}]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        if isinstance(value, str):
            try:
                value = msgspec.json.decode(bound(text(value)))
            except (msgspec.DecodeError, RecursionError) as exc:
                raise refuse("invalid_value", "the string is no JSON") from exc
        if not isinstance(value, dict):
            raise wrong_type("a JSON Schema, which is an object", value)
        return write_schema(value)


def write_schema(schema: dict[str, Any]) -> str:
    """As JSON, if it is neither too large nor too deep."""
    if levels(schema) > MOST_LEVELS:
        raise refuse("invalid_value", f"at most {MOST_LEVELS} levels of arrays and objects in one another")
    return bound(write_json(schema))


def bound(source: str) -> str:
    """The source of a grammar, if it is not too large."""
    if (size := len(source.encode())) > LARGEST_GRAMMAR:
        raise refuse("string_above_max_length", f"at most {LARGEST_GRAMMAR} bytes, but it has {size}")
    return source


class SchemaGrammar(Schema):
    """`strict` is what holds where the request does not say it."""

    def __init__(self, *, strict: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strict = strict

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> Any:
        return Grammar("json", super()._deserialize(value), self.strict)


class Expression(Source):
    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> Any:
        source = super()._deserialize(value)
        return Grammar("regex", source) if source else None


class ChoiceOf(Array):
    def __init__(self) -> None:
        super().__init__(Text(empty=False), low=1, high=MOST_CHOICES)

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> Any:
        return Grammar("choice", bound(msgspec.json.encode(super()._deserialize(value)).decode()))


class Rules(Source):
    """A grammar, in GBNF or Lark; an empty one asks for nothing."""

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> Any:
        source = super()._deserialize(value)
        return Grammar("lark", bound(read_grammar(source))) if source.strip() else None


class FormatType(Word):
    """Of `response_format`."""

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        if value == "structural_tag":
            raise refuse("unsupported_value", _TAGS)
        return super()._deserialize(value)


class NamedSchema(Strict):
    name = Text()
    description = Ignored(Text(longest=LARGEST_GRAMMAR))  # it is for the model, which is told only the messages
    strict = Boolean(load_default=False)
    schema = Schema()


class ResponseFormat(NamedSchema):
    """OpenAI's; and with the schema beside the type, as llama.cpp and the Responses API have it."""

    type = FormatType("text", "json_object", "json_schema", required=True)
    json_schema = Member(NamedSchema)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Grammar | None:
        kind, named = data["type"], data.get("json_schema", data)
        match kind, named.get("schema"):
            case "text", _:
                return None
            case "json_object", None:
                return Grammar("json", ANY_OBJECT)
            case "json_schema", None:
                missing = "json_schema" if named is data else "json_schema.schema"
                raise refuse("missing_required_parameter", name=missing)
            case _, source:
                return Grammar("json", source, named["strict"])


class StructuredOutputs(Strict):
    """vLLM's."""

    json = SchemaGrammar(strict=True)
    regex = Expression()
    choice = ChoiceOf()
    grammar = Rules()
    json_object = Boolean()
    structural_tag = Only(hint=_TAGS)
    whitespace_pattern = Only()
    disable_additional_properties = Only(False)
    disable_any_whitespace = Ignored(Boolean())  # there never is any
    disable_fallback = Ignored(Boolean())

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Grammar | None:
        wanted = data.pop("json_object", False)
        found = {name: part for name, part in data.items() if isinstance(part, Grammar)}
        if wanted:
            found["json_object"] = Grammar("json", ANY_OBJECT)
        if len(found) > 1:
            raise refuse("invalid_value", f"only one of {', '.join(found)} can be kept")
        return next((replace(part, param=f"structured_outputs.{name}") for name, part in found.items()), None)


class StructuredSchema(Strict):
    response_format = Member(ResponseFormat)
    json_schema = SchemaGrammar(strict=False)
    grammar = grammar_string = Rules()
    guided_json = SchemaGrammar(strict=True)
    guided_regex = Expression()
    guided_choice = ChoiceOf()
    guided_grammar = Rules()
    structured_outputs = Member(StructuredOutputs)
    guided_decoding_backend = Ignored(Text())
    guided_whitespace_pattern = Only(hint="an answer in JSON has no white space but in its strings")


_PARAMETERS = tuple(name for name, field in StructuredSchema().fields.items() if not isinstance(field, Ignored | Only))


def grammar(given: dict[str, Any]) -> Grammar | None:
    """What `read` returned, as the part of `Sampling`. Raises InvalidRequest where not all of it can be kept."""
    found = [name for name in _PARAMETERS if given.get(name) is not None]
    if not found:
        return None
    name, *others = found
    if others:
        raise _conflict(others[0], name)
    for unfit in _UNFIT:
        if given.get(unfit):
            raise _conflict(unfit, name)
    chosen: Grammar = given[name]
    return chosen if chosen.param.startswith(f"{name}.") else replace(chosen, param=name)


def _conflict(name: str, other: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid '{name}': it cannot be kept together with '{other}'.", param=name)
