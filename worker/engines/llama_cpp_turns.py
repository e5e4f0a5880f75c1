"""Conversations with tools as llama.cpp's chat endpoint takes them."""

from __future__ import annotations

import hashlib
import itertools
import json
import string
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from shared.protocol import FineMessage, Message, Tool, ToolCall
from worker.engines.llama_cpp_schemas import PROSE

Protect = Callable[[str], str]
"""Makes of a text one in which nothing is taken for a special token."""
MOST_ARGUMENT_LEVELS = 64
"""Levels of arrays and objects in the arguments of an earlier call; what has more is given to the template as text."""
_LETTERS = string.ascii_letters + string.digits
_SHORT = 9


class CallIds(Enum):
    """What a template wants the ids of calls to be."""

    GIVEN = "given"
    SHORT = "short"
    """Nine letters and digits."""
    NAMING = "naming"
    """They say which tool was called, and the how manyeth call of the conversation it is."""


def write_messages(turns: Iterable[Message], ids: CallIds, protect: Protect) -> list[dict[str, Any]]:
    """The same id of the conversation becomes the same one in the prompt, whenever it is asked."""
    known, count = dict[str, str](), itertools.count()

    def write_id(call: ToolCall) -> str:
        known[call.id] = _id(call, ids, next(count))
        return known[call.id]

    return [_message(turn, known, write_id, protect) for turn in turns]


def write_tools(tools: Iterable[Tool], protect: Protect) -> list[dict[str, Any]]:
    return [{"type": "function", "function": _function(tool, protect)} for tool in tools]


def _message(
    turn: Message, known: dict[str, str], write_id: Callable[[ToolCall], str], protect: Protect
) -> dict[str, Any]:
    written: dict[str, Any] = {"role": turn.role, "content": protect(turn.content)}
    if isinstance(turn, FineMessage):
        if turn.tool_calls:
            written["tool_calls"] = [
                {
                    "id": write_id(call),
                    "type": "function",
                    "function": {"name": protect(call.name), "arguments": _arguments(call, protect)},
                }
                for call in turn.tool_calls
            ]
        if turn.tool_call_id:
            written["tool_call_id"] = known.get(turn.tool_call_id, protect(turn.tool_call_id))
        if turn.name:
            written["name"] = protect(turn.name)
        if turn.reasoning:
            written["reasoning_content"] = protect(turn.reasoning)
    return written


def _id(call: ToolCall, ids: CallIds, number: int) -> str:
    match ids:
        case CallIds.GIVEN:
            return call.id
        case CallIds.SHORT:
            value = int.from_bytes(hashlib.sha256(call.id.encode()).digest())
            return "".join(_LETTERS[value // len(_LETTERS) ** place % len(_LETTERS)] for place in range(_SHORT))
        case CallIds.NAMING:
            return f"functions.{call.name}:{number}"


def _arguments(call: ToolCall, protect: Protect) -> str:
    """JSON of an object. Templates fail on what is none, which a model that was cut off has left there."""
    try:
        found = None if call.custom else json.loads(call.arguments or "{}")
        if isinstance(found, dict):
            return json.dumps(rewrite(found, protect), ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        pass
    return json.dumps({"input": protect(call.arguments)}, ensure_ascii=False)


def rewrite(value: Any, protect: Protect, levels: int = MOST_ARGUMENT_LEVELS) -> Any:
    """A JSON value with every text in it rewritten. Raises ValueError for one with more levels."""
    match value:
        case str():
            return protect(value)
        case dict() | list() if not levels:
            raise ValueError("too many levels")
        case dict():
            return {protect(name): rewrite(part, protect, levels - 1) for name, part in value.items()}
        case list():
            return [rewrite(part, protect, levels - 1) for part in value]
    return value


def _function(tool: Tool, protect: Protect) -> dict[str, Any]:
    schema = json.loads(tool.parameters) if tool.parameters else {"type": "object", "properties": {}}
    return {"name": tool.name, "description": protect(tool.description), "parameters": _describe(schema, protect)}


def _describe(schema: Any, protect: Protect) -> Any:
    """A schema with its descriptions rewritten: what else it has decides what an answer may be."""
    match schema:
        case dict():
            return {
                name: protect(part) if name in PROSE and isinstance(part, str) else _describe(part, protect)
                for name, part in schema.items()
            }
        case list():
            return [_describe(part, protect) for part in schema]
    return schema
