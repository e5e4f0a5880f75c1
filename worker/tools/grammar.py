"""What an answer with tools may be, as one grammar: content, calls, or content and then calls."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from llguidance import LLMatcher, regex_to_lark
from msgspec.structs import replace

from shared.errors import InvalidRequest
from shared.grammars import lark
from shared.protocol import FineChat, Grammar, Tool
from worker.tools.form import BETWEEN, END, END_OF_TEXT, OPENER, header

MOST_CALLS = 8
"""Of one answer that end by themselves: a small model calls the same tool again and again."""
LONGEST_PREPARATION = 1.0
"""Seconds of computing that the grammar of all tools may take to be made ready. The engine takes as long, and serves
nobody meanwhile."""
_LONGEST_REASON = 300
_NO_ARGUMENTS = '{"type": "object", "properties": {}, "additionalProperties": false}'
_ANY_ARGUMENTS = '{"type": "object"}'
_MAPS = ("properties", "$defs", "definitions")
"""Keywords whose value has a schema under each name,"""
_PARTS = ("items", "prefixItems", "anyOf", "oneOf", "additionalProperties")
"""and those whose value is a schema, or an array of them."""
_OTHERS = frozenset({"anyOf", "oneOf", "not", "if", "$ref", "$dynamicRef", "patternProperties"})
"""Keywords that say more of the same object."""


def write_grammar(task: FineChat) -> Grammar:
    """Of an answer to a chat that has tools.

    What a schema cannot be kept to is passed over where its tool is not strict, to the point that any object will do.

    Raises InvalidRequest where the rest cannot be kept: never is an answer computed without its grammar.
    """
    begun = time.thread_time()
    for relax in (_close_tool, _relax, _free):
        found = _assemble(task, [relax(tool) for tool in task.tools])
        if not (failure := _fails(found)):
            break
    else:
        raise _refuse(f"an answer cannot be kept to them: {failure.partition(chr(10))[0][:_LONGEST_REASON]}")
    if time.thread_time() - begun > LONGEST_PREPARATION:
        raise _refuse("an answer cannot be kept to them, for it takes too much: offer fewer, or simpler ones")
    return found


def _refuse(reason: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid 'tools': {reason}.", param="tools")


def _assemble(task: FineChat, tools: Sequence[Tool]) -> Grammar:
    """A call ends by itself, but for one whose text is of a grammar: it goes on to the end of the answer."""
    ending = [i for i, tool in enumerate(tools) if not tool.grammar]
    open_ended = [i for i, tool in enumerate(tools) if tool.grammar]
    lines = [
        f"next: {json.dumps(BETWEEN + OPENER)}",
        f"TEXT: /(?s:.*)/\nends[lazy]: TEXT {json.dumps(END_OF_TEXT)}",
        *(_write_call(tool, index) for index, tool in enumerate(tools)),
        f"call: {' | '.join(f'call_{i}' for i in ending)}" if ending else "",
        f"last: {' | '.join(f'call_{i}' for i in open_ended)}" if open_ended else "",
        f"calls: {_several(bool(ending), bool(open_ended), task.parallel_calls)}",
    ]
    opener, content = json.dumps(OPENER), task.sampling.grammar
    if task.must_call:
        lines.append(f"start: {opener} calls")
    elif content:
        lines.append(f"start: content | {opener} calls\ncontent: {_embed(content)}")
    else:
        # As soon as the opener is there, the first of these is over.
        lines.append(f"begin[lazy]: TEXT {opener}\nstart: TEXT | begin calls")
    return Grammar("lark", "\n".join(lines), param="tools")


def _several(ending: bool, open_ended: bool, parallel: bool) -> str:
    if not ending:
        return "last"
    more = f" (next call){{0,{MOST_CALLS - 1}}}" if parallel else ""
    if not open_ended:
        return f"call{more}"
    return f"call{more} (next last)? | last" if parallel else "call | last"


def _write_call(tool: Tool, index: int) -> str:
    """Its rule, without the opener."""
    rule = f"call_{index}: {json.dumps(header(tool).removeprefix(OPENER))}"
    if tool.grammar and tool.grammar.kind == "regex":
        # One terminal: the end is not taken for more of the text where that may go on.
        expression = regex_to_lark(tool.grammar.source) or "(?:)"
        return f"{rule} TEXT_{index}\nTEXT_{index}: /{expression}/ {json.dumps(END_OF_TEXT)}"
    if tool.grammar:
        return f"{rule} {_embed(tool.grammar)}"
    if tool.custom:
        return f"{rule} ends"
    schema = Grammar("json", tool.parameters or _NO_ARGUMENTS, tool.strict)
    return f"{rule} {_embed(schema)} {json.dumps(END)}"


def _embed(grammar: Grammar) -> str:
    """A grammar of its own, whose names are not those of others."""
    return f"%lark {{\n{lark(grammar)}\n}}"


def _relax(tool: Tool) -> Tool:
    """The closest to it that can be kept to."""
    if tool.strict or not tool.parameters:
        return tool
    for candidate in (_close_tool(tool), tool):
        if not _fails(Grammar("json", candidate.parameters, strict=False)):
            return candidate
    return _free(tool)


def _free(tool: Tool) -> Tool:
    """With any object for its arguments."""
    return tool if tool.strict or not tool.parameters else replace(tool, parameters=_ANY_ARGUMENTS)


def _close_tool(tool: Tool) -> Tool:
    """With no arguments but those that it names: what a model makes up beside them is of no use to anybody."""
    if tool.strict or not tool.parameters or '"allOf"' in tool.parameters:
        return tool
    return replace(tool, parameters=json.dumps(_close(json.loads(tool.parameters))))


def _close(schema: Any) -> Any:
    match schema:
        case dict():
            # Of several schemas that hold for one object, none knows all names.
            shared = "properties" in schema and not _OTHERS.isdisjoint(schema)
            closed = schema if shared else {name: _close_parts(name, value) for name, value in schema.items()}
            return {"additionalProperties": False, **closed} if "properties" in schema and not shared else closed
        case list():
            return [_close(part) for part in schema]
    return schema


def _close_parts(name: str, value: Any) -> Any:
    if name in _MAPS and isinstance(value, dict):
        return {key: _close(part) for key, part in value.items()}
    return _close(value) if name in _PARTS else value


def _fails(grammar: Grammar) -> str:
    """Why llguidance does not take it; empty where it does."""
    failure: str = LLMatcher.validate_grammar(lark(grammar))
    return failure
