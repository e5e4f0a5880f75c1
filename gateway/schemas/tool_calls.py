"""The calls of tools in a conversation, and their results.

Some clients tell less of them than OpenAI asks for. So a call without an id gets one, and a result finds its call by
its id, by its tool's name, or as the next in turn. A result of no call is refused, as OpenAI does; a call that has no
result is taken, which OpenAI refuses: its client may have been cut short.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar

from marshmallow import ValidationError, fields
from msgspec.structs import replace

from gateway.schemas.json_schema import mapping, nullable
from gateway.schemas.objects import bound_keys, keyed, write_json
from gateway.schemas.parameters import LONGEST_TEXT, each, short, text
from gateway.schemas.problem import refuse, show, wrong_type
from shared.protocol import FineMessage, Message, ToolCall

MOST_CALLS = 128
"""Calls of one message."""
LONGEST_CALL_ID = 16_384
"""Characters: some servers put into it what they want to see again."""


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """The `json_schema` of an object with these, and any others."""
    optional = {name: one if name in required else nullable(one) for name, one in properties.items()}
    return {"type": "object", "properties": optional, "required": list(required)}


_NAME = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}
_FUNCTION = _object({"name": _NAME, "arguments": {"anyOf": [{"type": "string"}, mapping()]}}, "name")
_CUSTOM = _object({"name": _NAME, "input": {"type": "string"}}, "name")
_ID = {"type": "string", "maxLength": LONGEST_CALL_ID}


class Calls(fields.Field[list[ToolCall]]):
    """Those of one message. By hand and not by schemas: a body has room for ten thousand."""

    json_schema: ClassVar = {
        "type": "array",
        "maxItems": MOST_CALLS,
        "items": {
            "anyOf": [
                _object({"type": {"const": "function"}, "id": _ID, "function": _FUNCTION}, "function"),
                _object({"type": {"const": "custom"}, "id": _ID, "custom": _CUSTOM}, "type", "custom"),
            ]
        },
    }

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> list[ToolCall]:
        if not isinstance(value, list):
            raise wrong_type("an array", value)
        if len(value) > MOST_CALLS:
            raise refuse("array_above_max_length", f"at most {MOST_CALLS} elements, but there are {len(value)}")
        return each(value, _call)


class LegacyCall(fields.Field["ToolCall | None"]):
    """A call as it was told before there were tools; an empty object is none."""

    json_schema: ClassVar = {"anyOf": [_FUNCTION, mapping(maxProperties=0)]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> ToolCall | None:
        given = keyed(value)
        return _function(given, "") if given else None


def _call(value: object) -> ToolCall:
    given = _known(value)
    identifier = short("" if given.get("id") is None else given["id"], LONGEST_CALL_ID, name="id")
    kind = "function" if given.get("type") is None else text(given["type"], name="type")
    if kind not in _READERS:
        raise refuse("unsupported_value", f"{show(kind)} is none of {', '.join(_READERS)}", name="type")
    if given.get(kind) is None:
        raise refuse("missing_required_parameter", name=kind)
    try:
        return _READERS[kind](_known(given[kind]), identifier)
    except ValidationError as exc:
        raise ValidationError({kind: exc.messages}) from exc


def _function(given: dict[str, Any], identifier: str) -> ToolCall:
    """JSON as a string is taken as the model has written it, right or not. Some clients send the object itself."""
    name, arguments = _name(given), given.get("arguments")
    if isinstance(arguments, str):
        return ToolCall(identifier, name, text(arguments, name="arguments") if arguments.strip() else "{}")
    try:
        return ToolCall(identifier, name, "{}" if arguments is None else write_json(keyed(arguments)))
    except ValidationError as exc:
        raise ValidationError({"arguments": exc.messages}) from exc


def _custom(given: dict[str, Any], identifier: str) -> ToolCall:
    said = "" if given.get("input") is None else text(given["input"], name="input")
    return ToolCall(identifier, _name(given), said, custom=True)


_READERS = {"function": _function, "custom": _custom}
"""By the type of a call."""


def _name(given: dict[str, Any]) -> str:
    if given.get("name") is None:
        raise refuse("missing_required_parameter", name="name")
    if not (name := short(given["name"], name="name")):
        raise refuse("invalid_value", "the string must not be empty", name="name")
    return name


def _known(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong_type("an object", value)
    bound_keys(value)
    return value


class OpenCalls:
    """The calls that have no result yet, in their order, as results may ask for them."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], dict[int, ToolCall]] = defaultdict(dict)
        self._latest: dict[str, ToolCall] = {}
        self._count = 0

    def begin(self) -> None:
        """The assistant's turn begins: of what was called before, results come by an id of its own only."""
        self._waiting.clear()

    def add(self, call: ToolCall) -> None:
        self._count += 1
        self._latest[call.id] = call
        for group in self._groups(call):
            self._waiting[group][self._count] = call

    def take(self, result: FineMessage) -> ToolCall | None:
        """The call that it is the result of. Of one that has a result already there may be another, by its id."""
        wanted = result.tool_call_id, result.name
        group = self._waiting[wanted] or (self._waiting[result.tool_call_id, ""] if result.tool_call_id else {})
        if not group:
            return self._latest.get(result.tool_call_id) if result.tool_call_id else None
        number, call = next(iter(group.items()))
        for key in self._groups(call):
            del self._waiting[key][number]
        return call

    def _groups(self, call: ToolCall) -> tuple[tuple[str, str], ...]:
        """What may be known of a call by its result: its id and its name, or one of them, or nothing."""
        return (call.id, call.name), (call.id, ""), ("", call.name), ("", "")


def pair(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages, where every call has an id, and every result that of its call, and its tool's name.

    Raises ValidationError for a result of no call.
    """
    waiting, paired = OpenCalls(), []
    for index, message in enumerate(messages):
        if isinstance(message, FineMessage) and message.role == "tool":
            call = waiting.take(message)
            if call is None:
                raise ValidationError({"messages": {index: _orphan(message).messages}})
            message = replace(message, tool_call_id=call.id, name=call.name)
        elif isinstance(message, FineMessage) and message.tool_calls:
            named = (
                call if call.id else replace(call, id=f"call_{index}_{number}")
                for number, call in enumerate(message.tool_calls)
            )
            message = replace(message, tool_calls=tuple(named))
            if index and messages[index - 1].role != "assistant":
                waiting.begin()
            for call in message.tool_calls:
                waiting.add(call)
        paired.append(message)
    return tuple(paired)


def _orphan(result: FineMessage) -> ValidationError:
    if result.tool_call_id:
        problem = f"no call before it has the id {show(result.tool_call_id)}"
        return refuse("invalid_value", problem, name="tool_call_id")
    if result.name:
        return refuse("invalid_value", f"no call of {show(result.name)} before it waits for a result", name="name")
    return refuse("invalid_value", "no call before it waits for a result", name="role")
