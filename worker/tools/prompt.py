"""A chat with tools as one that every chat template takes: tools, calls and results stand in its texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec.structs import replace

from shared.protocol import Chat, FineChat, FineMessage, Message, Tool
from worker.tools.form import BETWEEN, OPENER, write_call, write_result

_CALLS = f"""To call a tool, answer with its name and its arguments, as JSON:
{OPENER}
{{"name": <name>, "arguments": <arguments>}}
</tool_call>
"""
_TEXTS = f"""To call a tool that takes a text, answer with its name, and the text after it:
{OPENER}
{{"name": <name>}}
<text>
</tool_call>
"""
_RESULTS = "Its result comes within <tool_response></tool_response>. Answer in words when you need no tool."


def write_tools(tools: Sequence[Tool], *, parallel: bool) -> str:
    """What the model is told of its tools. The same tools give the same text."""
    several = "Several calls may follow each other. " if parallel else ""
    kinds = {tool.custom for tool in tools}
    listed = "\n".join(map(_describe, tools))
    how = f"{_CALLS if False in kinds else ''}{_TEXTS if True in kinds else ''}"
    return f"# Tools\nYou can call these tools:\n<tools>\n{listed}\n</tools>\n{how}{several}{_RESULTS}"


def write_messages(task: Chat, *, system: bool) -> tuple[Message, ...]:
    """The conversation without calls and results of its own, and with the tools told at its beginning.

    They stand before all that differs from chat to chat, so that they need not be read again. Without `system`, the
    template takes no system message, and they go into the first of the user's.
    """
    turns = _turns(task.messages)
    if not isinstance(task, FineChat) or not task.tools:
        return tuple(turns)
    told = write_tools(task.tools, parallel=task.parallel_calls)
    role: Literal["system", "user"] = "system" if system else "user"
    at = 0 if system else next((i for i, turn in enumerate(turns) if turn.role == role), 0)
    if turns[at].role == role:
        turns[at] = replace(turns[at], content=f"{told}\n\n{turns[at].content}")
    else:
        turns.insert(0, Message(role, told))
    return tuple(turns)


def _turns(messages: Iterable[Message]) -> list[Message]:
    """Results are turns of the user, one for those that follow each other, in the order of the calls: templates want
    user and assistant to take turns."""
    turns, results, places = list[Message](), list[tuple[int, str]](), dict[str, int]()
    for message in messages:
        fine = message if isinstance(message, FineMessage) else FineMessage(message.role, message.content)
        if fine.role == "tool":
            results.append((places.get(fine.tool_call_id, len(places)), fine.content))
            continue
        told = _write_results(results)
        results.clear()
        if told and fine.role == "user":
            turns.append(Message("user", f"{told}\n{fine.content}"))
            continue
        if told:
            turns.append(Message("user", told))
        if fine.tool_calls:
            places = {call.id: place for place, call in enumerate(fine.tool_calls)}
        text = BETWEEN.join(filter(None, (fine.content, *map(write_call, fine.tool_calls))))
        turns.append(
            FineMessage(fine.role, text, reasoning=fine.reasoning) if fine.reasoning else Message(fine.role, text)
        )
    if results:
        turns.append(Message("user", _write_results(results)))
    return turns


def _write_results(results: list[tuple[int, str]]) -> str:
    return BETWEEN.join(write_result(text) for _, text in sorted(results, key=lambda result: result[0]))


def _describe(tool: Tool) -> str:
    """In one line of JSON, with the schema as it came."""
    said = [("name", json.dumps(tool.name))]
    if tool.description:
        said.append(("description", json.dumps(tool.description, ensure_ascii=False)))
    if not tool.custom:
        said.append(("parameters", tool.parameters or '{"type": "object", "properties": {}}'))
    elif tool.grammar:
        said.append(("text", json.dumps({tool.grammar.kind: tool.grammar.source}, ensure_ascii=False)))
    else:
        said.append(("text", '"any"'))
    return "{" + ", ".join(f'"{name}": {value}' for name, value in said) + "}"
