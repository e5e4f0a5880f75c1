"""Conversations with calls, and tools, as llama.cpp's chat endpoint is told of them."""

from __future__ import annotations

import hashlib
import itertools
import json
import string
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any

from msgspec.structs import replace

from shared.protocol import FineMessage, Message, Tool, ToolCall
from worker.engines.llama_cpp_schemas import PROSE

_LETTERS = string.ascii_letters + string.digits
_SHORT = 9


class CallIds(Enum):
    """What a template wants the ids of calls to be."""

    GIVEN = "given"
    SHORT = "short"
    """Nine letters and digits."""
    NAMING = "naming"
    """They say which tool was called, and how many calls of the conversation came before."""


def adapt(turns: Sequence[Message], ids: CallIds) -> list[Message]:
    """The same turns with such ids, the same each time."""
    known, numbers = dict[str, str](), itertools.count()
    adapted: list[Message] = []
    for turn in turns:
        if isinstance(turn, FineMessage):
            calls = tuple(replace(call, id=_id(call, ids, next(numbers))) for call in turn.tool_calls)
            known |= {old.id: new.id for old, new in zip(turn.tool_calls, calls, strict=True)}
            asked = known.get(turn.tool_call_id, turn.tool_call_id)
            turn = replace(turn, tool_calls=calls, tool_call_id=asked)
        adapted.append(turn)
    return adapted


def write_tools(tools: Iterable[Tool], write: Callable[[str], str]) -> list[dict[str, Any]]:
    """`write` is for what only describes them; the rest decides what an answer may be."""
    return [{"type": "function", "function": _function(tool, write)} for tool in tools]


def _id(call: ToolCall, ids: CallIds, number: int) -> str:
    match ids:
        case CallIds.GIVEN:
            return call.id
        case CallIds.SHORT:
            value = int.from_bytes(hashlib.sha256(call.id.encode()).digest())
            return "".join(_LETTERS[value // len(_LETTERS) ** place % len(_LETTERS)] for place in range(_SHORT))
        case CallIds.NAMING:
            return f"functions.{call.name}:{number}"


def _function(tool: Tool, write: Callable[[str], str]) -> dict[str, Any]:
    schema = json.loads(tool.parameters) if tool.parameters else {"type": "object", "properties": {}}
    return {"name": tool.name, "description": write(tool.description), "parameters": _describe(schema, write)}


def _describe(schema: Any, write: Callable[[str], str]) -> Any:
    match schema:
        case dict():
            return {
                name: write(part) if name in PROSE and isinstance(part, str) else _describe(part, write)
                for name, part in schema.items()
            }
        case list():
            return [_describe(part, write) for part in schema]
    return schema
