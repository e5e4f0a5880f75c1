"""The content of messages in Anthropic's words: blocks, which clients store and send back.

As with OpenAI's messages, what nobody knows in a block is ignored, silently. A block of an unknown type is refused: it
is a part of the conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from marshmallow import ValidationError, fields

from gateway.schemas.json_schema import mapping
from gateway.schemas.message import MOST_PARTS
from gateway.schemas.objects import bound_keys, keyed, write_json
from gateway.schemas.parameters import LONGEST_TEXT, each, short, text
from gateway.schemas.problem import refuse, show, wrong_type
from gateway.schemas.tool_calls import LONGEST_CALL_ID
from shared.protocol import FineMessage, ToolCall

_TEXT_ONLY = "models here read text only"
_FAILED = "Error"
"""What a result is begun with that says nowhere else that its tool has failed."""


class Thought(NamedTuple):
    """What the assistant has thought; empty where only Anthropic could read it."""

    text: str


Part = str | Thought | ToolCall | FineMessage
"""What a block says: a text, a thought, a call, or the result of one."""


class BlockContent(fields.Field[list[Part]]):
    """A string, or an array of blocks of these types. By hand and not by schemas: a body has room for ten thousands."""

    def __init__(self, *types: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.types = types

    @property
    def json_schema(self) -> dict[str, Any]:
        return _describe({kind: _BLOCKS[kind] for kind in self.types})

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> list[Part]:
        return read_content(value, self.types)


def read_content(value: object, types: tuple[str, ...]) -> list[Part]:
    """What each block says. Raises ValidationError."""
    if isinstance(value, str):
        return [text(value)]
    if not isinstance(value, list):
        raise wrong_type("a string or an array of blocks", value)
    if len(value) > MOST_PARTS:
        raise refuse("array_above_max_length", f"at most {MOST_PARTS} blocks, but there are {len(value)}")
    return each(value, lambda block: _read_block(block, types))


def join(parts: Iterable[Part]) -> str:
    """The texts among them, each on a line of its own."""
    return "\n".join(part for part in parts if isinstance(part, str))


class _Block(NamedTuple):
    """How a type of block is read."""

    read: Callable[[Mapping[str, Any]], Part]
    required: dict[str, Any]
    """Members that it has to have, each with its `json_schema`."""
    optional: Mapping[str, Any] = MappingProxyType({})

    def json_schema(self, kind: str) -> dict[str, Any]:
        named = {"type": {"const": kind}, **self.required}
        missing = {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in self.optional.items()}
        return {"type": "object", "properties": {**named, **missing}, "required": [*named]}


def _read_block(block: object, types: tuple[str, ...]) -> Part:
    if not isinstance(block, dict):
        raise wrong_type("an object", block)
    bound_keys(block)
    if block.get("type") is None:
        raise refuse("missing_required_parameter", name="type")
    if (kind := text(block["type"], name="type")) not in types:
        raise refuse("unsupported_value", f"{show(kind)} is none of {', '.join(types)}; {_TEXT_ONLY}", name="type")
    return _BLOCKS[kind].read(block)


def _member(block: Mapping[str, Any], name: str) -> Any:
    if block.get(name) is None:
        raise refuse("missing_required_parameter", name=name)
    return block[name]


def _within(name: str, read: Callable[[], Any]) -> Any:
    """What is read of a member, whose name errors tell."""
    try:
        return read()
    except ValidationError as exc:
        raise ValidationError({name: exc.messages}) from exc


def _prose(block: Mapping[str, Any], name: str) -> str:
    """A text that may be missing."""
    return "" if block.get(name) is None else text(block[name], name=name)


def _name(block: Mapping[str, Any], name: str, longest: int) -> str:
    if not (found := short(_member(block, name), longest, name=name)):
        raise refuse("invalid_value", "the string must not be empty", name=name)
    return found


def _text(block: Mapping[str, Any]) -> str:
    return text(_member(block, "text"), name="text")


def _thinking(block: Mapping[str, Any]) -> Thought:
    return Thought(_prose(block, "thinking"))


def _call(block: Mapping[str, Any]) -> ToolCall:
    identifier, name = _name(block, "id", LONGEST_CALL_ID), _name(block, "name", LONGEST_TEXT)
    return ToolCall(identifier, name, _within("input", lambda: write_json(keyed(_member(block, "input")))))


def _result(block: Mapping[str, Any]) -> FineMessage:
    identifier, content = _name(block, "tool_use_id", LONGEST_CALL_ID), block.get("content")
    said = "" if content is None else join(_within("content", lambda: read_content(content, RESULT)))
    failed = block.get("is_error")
    if failed is not None and not isinstance(failed, bool):
        raise wrong_type("a boolean", failed, name="is_error")
    if failed and not said.casefold().startswith(_FAILED.casefold()):
        said = f"{_FAILED}: {said}" if said else _FAILED
    return FineMessage("tool", said, tool_call_id=identifier)


def _document(block: Mapping[str, Any]) -> str:
    said = _within("source", lambda: _source(_member(block, "source")))
    return "\n".join(filter(None, (_prose(block, "title"), _prose(block, "context"), said)))


def _source(source: object) -> str:
    if not isinstance(source, dict):
        raise wrong_type("an object", source)
    bound_keys(source)
    kind = text(_member(source, "type"), name="type")
    if kind == "text":
        return text(_member(source, "data"), name="data")
    if kind == "content":
        return join(_within("content", lambda: read_content(_member(source, "content"), ("text",))))
    raise refuse("unsupported_value", f"{show(kind)} is none of text, content; {_TEXT_ONLY}", name="type")


def _search_result(block: Mapping[str, Any]) -> str:
    said = join(_within("content", lambda: read_content(_member(block, "content"), ("text",))))
    return "\n".join(filter(None, (_prose(block, "title"), _prose(block, "source"), said)))


def _reference(block: Mapping[str, Any]) -> str:
    """A tool that a search of the client's has found. It is there from the beginning, so its name says enough."""
    return _name(block, "tool_name", LONGEST_TEXT)


def _describe(blocks: Mapping[str, _Block]) -> dict[str, Any]:
    """The `json_schema` of a content with these."""
    items = {"anyOf": [block.json_schema(kind) for kind, block in blocks.items()]}
    return {"anyOf": [_STRING, {"type": "array", "maxItems": MOST_PARTS, "items": items}]}


_STRING: dict[str, Any] = {"type": "string"}
_IDENTIFIER = {**_STRING, "minLength": 1, "maxLength": LONGEST_CALL_ID}
_NAME = {**_STRING, "minLength": 1, "maxLength": LONGEST_TEXT}
_TEXT = {"text": _Block(_text, {"text": _STRING})}
_SOURCE = {
    "anyOf": [
        {"type": "object", "properties": {"type": {"const": kind}, name: schema}, "required": ["type", name]}
        for kind, name, schema in (("text", "data", _STRING), ("content", "content", _describe(_TEXT)))
    ]
}
_TOLD = {
    **_TEXT,
    "document": _Block(_document, {"source": _SOURCE}, {"title": _STRING, "context": _STRING}),
    "search_result": _Block(_search_result, {"content": _describe(_TEXT)}, {"title": _STRING, "source": _STRING}),
}
_OF_RESULTS = {**_TOLD, "tool_reference": _Block(_reference, {"tool_name": _NAME})}
_OF_MESSAGES = {
    **_TOLD,
    "thinking": _Block(_thinking, {}, {"thinking": _STRING}),
    "redacted_thinking": _Block(lambda block: Thought(""), {}),
    "tool_use": _Block(_call, {"id": _IDENTIFIER, "name": _NAME, "input": mapping()}),
    "tool_result": _Block(
        _result, {"tool_use_id": _IDENTIFIER}, {"content": _describe(_OF_RESULTS), "is_error": {"type": "boolean"}}
    ),
}
_BLOCKS: dict[str, _Block] = {**_OF_RESULTS, **_OF_MESSAGES}
"""By their type."""
MESSAGE, RESULT = tuple(_OF_MESSAGES), tuple(_OF_RESULTS)
"""Types of blocks in a message, and in the result of a tool."""
