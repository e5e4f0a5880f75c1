"""The calls of tools in a conversation, and their results.

Some clients tell less of them than OpenAI asks for. So a call without an id gets one, and a result finds its call by
its id, by its tool's name, or as the next in turn. A result of no call is refused, as OpenAI does; a call that has no
result is taken, which OpenAI refuses: its client may have been cut short.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, ClassVar

from marshmallow import ValidationError, fields, post_load
from msgspec.structs import replace

from gateway.schemas.objects import EMPTY, Lenient, Member, Variant, keyed, write_json
from gateway.schemas.parameters import Array, Prose, Text
from gateway.schemas.problem import refuse, show
from shared.protocol import FineMessage, Message, ToolCall

MOST_CALLS = 128
"""Calls of one message."""
LONGEST_CALL_ID = 16_384
"""Characters: some servers put into it what they want to see again."""


class CallArguments(fields.Field[str]):
    """JSON as a string, taken as the model has written it, right or not. Some clients send the object itself."""

    json_schema: ClassVar = {"anyOf": [{"type": "string"}, EMPTY]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        if isinstance(value, str):
            return Prose().deserialize(value) if value.strip() else "{}"
        return write_json(keyed(value))


class CalledFunction(Lenient):
    name = Text(empty=False, required=True)
    arguments = CallArguments(load_default="{}")

    @post_load
    def call(self, data: dict[str, Any], **kwargs: Any) -> ToolCall:
        return ToolCall("", data["name"], data["arguments"])


class CalledCustom(Lenient):
    name = Text(empty=False, required=True)
    input = Prose(load_default="")

    @post_load
    def call(self, data: dict[str, Any], **kwargs: Any) -> ToolCall:
        return ToolCall("", data["name"], data["input"], custom=True)


class FunctionCall(Lenient):
    id = Text(longest=LONGEST_CALL_ID, load_default="")
    function = Member(CalledFunction, required=True)

    @post_load
    def call(self, data: dict[str, Any], **kwargs: Any) -> ToolCall:
        call: ToolCall = data["function"]
        return replace(call, id=data["id"])


class CustomCall(Lenient):
    id = Text(longest=LONGEST_CALL_ID, load_default="")
    custom = Member(CalledCustom, required=True)

    @post_load
    def call(self, data: dict[str, Any], **kwargs: Any) -> ToolCall:
        call: ToolCall = data["custom"]
        return replace(call, id=data["id"])


class Calls(Array):
    """Those of one message."""

    def __init__(self) -> None:
        super().__init__(Variant({"function": FunctionCall(), "custom": CustomCall()}), 0, MOST_CALLS)


class LegacyCall(fields.Field["ToolCall | None"]):
    """A call as it was told before there were tools; an empty object is none."""

    _call = CalledFunction()

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [self._call.described, {**EMPTY, "maxProperties": 0}]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> ToolCall | None:
        given = keyed(value)
        call: ToolCall | None = self._call.load(given) if given else None
        return call


class OpenCalls:
    """The calls that have no result yet, in their order, as results may ask for them."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], dict[int, ToolCall]] = defaultdict(dict)
        self._latest: dict[str, ToolCall] = {}
        self._count = 0

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
        for each in self._groups(call):
            del self._waiting[each][number]
        return call

    def _groups(self, call: ToolCall) -> tuple[tuple[str, str], ...]:
        """What may be known of a call by its result: its id and its name, or one of them, or nothing."""
        return (call.id, call.name), (call.id, ""), ("", call.name), ("", "")


def pair(messages: Iterable[Message]) -> tuple[Message, ...]:
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
