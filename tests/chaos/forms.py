"""What answers consist of beside a text, how an echo engine is told to give it, and what a client then reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any


class Form(StrEnum):
    """What an answer is to be."""

    TEXT = "text"
    THOUGHTS = "thoughts"
    """Thoughts, then a text."""
    CALLS = "calls"
    """Thoughts, a text, then two calls."""
    JSON = "JSON"
    """Of a schema."""


FORMS = (*[Form.TEXT] * 2, Form.THOUGHTS, Form.CALLS, Form.JSON)
"""As often as they are asked for."""
TOOLS = ("find", "keep")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is known before."""

    text: str
    """The transcript, see `mark`."""
    tokens: int
    thoughts: int = 0
    """Tokens of them."""
    finish: str = "stop"


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of an echo engine, and its answer."""

    prompt: str
    answer: Answer
    more: Mapping[str, Any] = field(default_factory=dict)
    """What the request has beside the prompt."""


def mark(channel: str) -> str:
    """What a transcript has between texts that clients are told apart: the name of the next."""
    return f"\n[{channel}]\n"


def draw(form: Form, words: Sequence[str], random: Random) -> Task:
    """A task of that form, whose answer has these words."""
    if form is Form.TEXT:
        text = " ".join(words)
        return Task(text, Answer(text, len(words)))
    if form is Form.JSON:
        text = json.dumps({"words": " ".join(words)})
        return Task(text, Answer(text, len(text.split())), {"response_format": _FORMAT})
    count = random.randint(len(words) // 4, len(words) // 2)
    thoughts, said = " ".join(words[:count]), words[count:]
    more = {"reasoning_effort": "low"}
    told = mark("thoughts") + thoughts + mark("content")
    if form is Form.THOUGHTS:
        text = " ".join(said)
        return Task(f"<think>{thoughts}</think>{text}", Answer(told + text, len(words), count), more)
    third = -(-len(said) // 3)
    first, *rest = (" ".join(said[at : at + third]) for at in range(0, len(said), third))
    arguments = [json.dumps({"words": part}) for part in rest]
    calls = [{"name": name, "arguments": each} for name, each in zip(TOOLS, arguments, strict=True)]
    prompt = f"<think>{thoughts}</think>{json.dumps([{'content': first}, *calls])}"
    text = told + first + "".join(mark(f"call {n} {TOOLS[n]}") + each for n, each in enumerate(arguments))
    tokens = len(f"{thoughts} {first}".split()) + sum(1 + len(each.split()) for each in arguments)
    return Task(prompt, Answer(text, tokens, count, "tool_calls"), {**more, "tools": _OFFER})


_SCHEMA = {"type": "object", "properties": {"words": {"type": "string"}}, "required": ["words"]}
_FORMAT = {"type": "json_schema", "json_schema": {"name": "words", "schema": _SCHEMA}}
_OFFER = [{"type": "function", "function": {"name": name, "parameters": _SCHEMA}} for name in TOOLS]
