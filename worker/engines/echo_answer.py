"""What the echo engine answers: its parts, each the whole of its text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from shared.protocol import Call, Chat, Completion, Delta, FineChat, FineCompletion, Grammar, TextTask, Tool
from worker.engines.echo_json import keep, parse

TOKEN = re.compile(r"\s*\S+|\s+")
"""A word with the white space before it."""
THOUGHTS = "The answer is what was said."
"""Thought where the message tells no thoughts."""
_THOUGHTS = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)


def answer(task: TextTask) -> list[Delta]:
    """The parts in their order: thoughts, then texts and calls.

    A chat is answered with what was said last: the results of calls where they come last, else the last user message.
    - Where it is to think, it thinks what stands in `<think>…</think>` at the beginning of that, else `THOUGHTS`.
    - Where tools are offered, JSON such as `{"name": …, "arguments": …}` is a call, `"input"` is the one of a custom
      tool, and an array is several of them, also of texts between them: `{"content": …}`. Where a call must come and
      none was told, it calls the first tool, with what its schema asks for.
    - A gap is filled with what comes before it, and then what comes after it.
    - What has a grammar is the text where that is JSON of the schema, or one of the choices; else the least JSON, or
      the first choice. Other grammars are not looked at.
    """
    match task:
        case Chat():
            thoughts, text = _thoughts(task, _said(task))
            calls = _calls(task, text) if isinstance(task, FineChat) and task.tools else []
            return thoughts + (calls or [Delta(_kept(text, task.sampling.grammar))])
        case Completion(prompt=(given,)):
            text = given if isinstance(given, str) else " ".join(map(str, given))
            if isinstance(task, FineCompletion) and task.suffix is not None:
                text = "".join(around(task)[-3:])
            return [Delta(_kept(text, task.sampling.grammar))]
    raise AssertionError("an engine gets one prompt at a time")


def around(gap: FineCompletion) -> list[str]:
    """What stands around a gap: what is beside it, then what comes before it, and after it."""
    [given] = gap.prompt
    before = given if isinstance(given, str) else " ".join(map(str, given))
    beside = [text for passage in gap.beside for text in (passage.name, passage.text)]
    return [*beside, before, gap.line, gap.suffix or ""]


def _said(chat: Chat) -> str:
    """What an answer that has begun with the same text goes on with."""
    results: list[str] = []
    for message in reversed(chat.messages):
        if message.role == "tool":
            results.insert(0, message.content)
        elif results:
            break
        elif message.role == "user":
            results.append(message.content)
            break
    text = "\n".join(results)
    return text.removeprefix(chat.messages[-1].content) if chat.continue_final else text


def _thoughts(chat: Chat, text: str) -> tuple[list[Delta], str]:
    """The thoughts, and what is said after them."""
    if not isinstance(chat, FineChat) or chat.continue_final:
        return [], text
    if not (chat.thinking or (chat.thinking is None and chat.effort not in ("", "none"))):
        return [], text
    told = _THOUGHTS.match(text)
    words = TOKEN.findall(told[1] if told else THOUGHTS)
    thoughts = "".join(words[: chat.thinking_budget])
    return [Delta(thoughts, reasoning=True)] if thoughts else [], text[told.end() :] if told else text


def _calls(chat: FineChat, text: str) -> list[Delta]:
    """The calls that the text tells, and the texts between them; none where it is just a text."""
    offered = {tool.name: tool for tool in chat.tools}
    parts = list[Delta]()
    index = 0
    for entry in _entries(text):
        if "content" in entry:
            parts.append(Delta(entry["content"]))
        elif entry["name"] in offered:
            parts.append(_call(index, offered[entry["name"]], _arguments(entry)))
            index += 1
            if not chat.parallel_calls:
                break
    if index:
        return parts
    return [_call(0, chat.tools[0], _made(chat.tools[0], text))] if chat.must_call else []


def _entries(text: str) -> list[dict[str, Any]]:
    try:
        value = parse(text)
    except ValueError:
        return []
    entries = value if isinstance(value, list) else [value]
    return entries if all(map(_tells, entries)) else []


def _tells(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("content", entry.get("name")), str)


def _arguments(entry: Mapping[str, Any]) -> str:
    """A string is taken as it is, also where it is no JSON."""
    given = entry.get("arguments", entry.get("input", {}))
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


def _call(index: int, tool: Tool, arguments: str) -> Delta:
    return Delta(arguments, call=Call(index, tool.name, tool.custom))


def _made(tool: Tool, text: str) -> str:
    if tool.custom:
        return _kept(text, tool.grammar)
    return keep(text, tool.parameters or '{"type": "object"}')


def _kept(text: str, grammar: Grammar | None) -> str:
    """The text as the grammar has it."""
    match grammar:
        case Grammar(kind="json"):
            return keep(text, grammar.source)
        case Grammar(kind="choice"):
            choices: list[str] = parse(grammar.source)
            return text if text in choices else choices[0]
    return text
