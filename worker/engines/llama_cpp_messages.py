"""A conversation as llama.cpp's templates get it, in OpenAI's terms."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from shared.protocol import FineMessage, Message, ToolCall

Write = Callable[[str, str], str]
"""What is to stand for a text of a message of some role."""


def make_messages(messages: Iterable[Message], write: Write) -> list[dict[str, Any]]:
    """One dictionary a message. Every text in them that a client has a say in is what `write` makes of it."""
    return [_message(message, write) for message in messages]


def _message(message: Message, write: Write) -> dict[str, Any]:
    role = message.role
    made: dict[str, Any] = {"role": role, "content": write(message.content, role)}
    if isinstance(message, FineMessage):
        if message.tool_calls:
            made["tool_calls"] = [_call(call, write) for call in message.tool_calls]
        for key, text in (
            ("tool_call_id", message.tool_call_id),
            ("name", message.name),
            ("reasoning_content", message.reasoning),
        ):
            if text:
                made[key] = write(text, role)
    return made


def _call(call: ToolCall, write: Write) -> dict[str, Any]:
    name, arguments = write(call.name, "assistant"), write_arguments(call, write)
    return {"id": write(call.id, "assistant"), "type": "function", "function": {"name": name, "arguments": arguments}}


def write_arguments(call: ToolCall, write: Write) -> str:
    """JSON. The texts in it are written, not JSON's own: a template that takes it apart sees them without escapes."""
    if call.custom:
        return json.dumps({"input": write(call.arguments, "assistant")}, ensure_ascii=False)
    try:
        values = json.loads(call.arguments)
        written = _written(values, write)
    except (ValueError, RecursionError):  # the model may have written anything
        return write(call.arguments, "assistant")
    return call.arguments if written == values else json.dumps(written, ensure_ascii=False)


def _written(value: Any, write: Write) -> Any:
    match value:
        case str():
            return write(value, "assistant")
        case list():
            return [_written(item, write) for item in value]
        case dict():
            return {write(key, "assistant"): _written(item, write) for key, item in value.items()}
    return value
