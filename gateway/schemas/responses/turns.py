"""Items as the turns that a template knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, groupby
from typing import Any

from marshmallow import ValidationError

from gateway.schemas.problem import refuse, show
from gateway.schemas.responses.items import Item
from gateway.schemas.responses.parts import Files, file_ids, say
from gateway.schemas.responses.summaries import COMPACTION, tell_summary
from shared.errors import NotStored
from shared.protocol import FineMessage, Message, ToolCall

_CALLS = {"function_call": ("arguments", False), "custom_tool_call": ("input", True)}
"""By their type: what the arguments are called, and whether the tool is a custom one."""
_RESULTS = ("function_call_output", "custom_tool_call_output")


def make_turns(items: Sequence[Item], files: Files) -> tuple[Message, ...]:
    """Thoughts, texts and calls of the assistant in a row are one turn: that of the answer which they came from.

    What tools have answered comes in the order in which they were called: many templates know neither another order
    nor the ids. Instructions in a row are one turn, for most know only one.
    """
    calls, turns, number = dict[str, tuple[int, ToolCall]](), list[Message](), count()
    for side, row in groupby(items, key=_side):
        told = [*row]
        turns += _turns(side, told, calls, files)
        made = (_call(item) for item in told if item["type"] in _CALLS)
        calls.update((call.id, (next(number), call)) for call in made)
    return tuple(turns)


def check_results(items: Sequence[Item], own: int, source: str) -> None:
    """Raises ValidationError for a result of no call before it. The items from the place `own` on are those of the
    request's `input`, those before come from what its parameter `source` names."""
    called = set[str]()
    for place, item in enumerate(items):
        if item["type"] in _CALLS:
            called.add(item["call_id"])
        elif item["type"] in _RESULTS and item["call_id"] not in called:
            problem = refuse("invalid_value", f"no call before it has the id {show(item['call_id'])}", name="call_id")
            if place < own:
                raise ValidationError({source: problem.messages})
            raise ValidationError({"input": {place - own: problem.messages}})


def check_files(items: Sequence[Item], own: int, source: str, files: Files) -> None:
    """Raises NotStored for a file that is not there; the rest as `check_results`."""
    for place, item in enumerate(items):
        for name in ("content", "output"):
            for file_id in file_ids(item.get(name)):
                if file_id not in files:
                    raise NotStored(file_id, param=source if place < own else f"input[{place - own}].{name}")


def _side(item: Item) -> str:
    if item["type"] == COMPACTION:
        return "user"  # whoever goes on answers to it
    if item["type"] == "message":
        return "system" if item["role"] == "developer" else str(item["role"])
    return "tool" if item["type"] in _RESULTS else "assistant"


def _turns(side: str, row: list[Item], calls: dict[str, tuple[int, ToolCall]], files: Files) -> Iterator[Message]:
    match side:
        case "system":
            yield Message("system", "\n".join(say(item["content"], files) for item in row))
        case "user":
            yield from (Message("user", _say(item, files)) for item in row)
        case "tool":
            for item in sorted(row, key=lambda item: calls[item["call_id"]][0]):
                identifier = item["call_id"]
                output = say(item["output"], files)
                yield FineMessage("tool", output, tool_call_id=identifier, name=calls[identifier][1].name)
        case _:
            made = tuple(_call(item) for item in row if item["type"] in _CALLS)
            texts = [say(item["content"], files) for item in row if item["type"] == "message"]
            thoughts = "\n".join(filter(None, (_think(item) for item in row if item["type"] == "reasoning")))
            content = "\n".join(texts)
            fine = made or thoughts
            yield FineMessage("assistant", content, made, reasoning=thoughts) if fine else Message("assistant", content)


def _say(item: Item, files: Files) -> str:
    return tell_summary(item) if item["type"] == COMPACTION else say(item["content"], files)


def _call(item: Item) -> ToolCall:
    name, custom = _CALLS[item["type"]]
    return ToolCall(item["call_id"], item["name"], item[name], custom)


def _think(item: Item) -> str:
    """The thoughts themselves, or else what is told of them."""
    parts: list[dict[str, Any]] = item.get("content") or item.get("summary") or []
    return "\n".join(part["text"] for part in parts)
