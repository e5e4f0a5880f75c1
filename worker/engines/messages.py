"""A conversation as templates get it, in OpenAI's terms, and the prompt that they make of it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from shared.errors import InvalidRequest
from shared.protocol import Chat, FineMessage, Message, ToolCall
from worker.engines.special_texts import Specials, choose_mark

Dictionaries = list[dict[str, Any]]
_NAME = re.compile(r"[A-Za-z0-9_-]*")
Write = Callable[[str, str], str]
"""What is to stand for a text of a message of some role."""


def render_chat(task: Chat, specials: Specials, apply_template: Callable[[Dictionaries], str]) -> list[str]:
    """The prompt, with the beginning of the answer where it has one; see `render`."""
    if not task.continue_final:
        return render(task.messages, specials, apply_template)
    *turns, begun = task.messages
    *texts, last = render(turns, specials, apply_template)
    first, *parts = specials.cut(begun.content, begun.role)
    return [*texts, last + first, *parts]


def render(messages: Sequence[Message], specials: Specials, apply_template: Callable[[Dictionaries], str]) -> list[str]:
    """What a template makes of messages, in texts that follow each other, each to be tokenised for itself: no special
    token is made of what is not the template's own.

    Where a text of a message has one, it is cut. A template may still make one of what it takes from two places, or
    leaves out: then they are cut wherever one might begin.
    """
    texts: list[tuple[str, str]] = []

    def note(text: str, role: str) -> str:
        texts.append((text, role))
        return text

    make_messages(messages, note)
    mark = choose_mark(text for text, _ in texts)
    cut = apply_template(make_messages(messages, lambda text, role: mark.join(specials.cut(text, role)))).split(mark)
    if any(specials.every.might_help(text) for text, _ in texts):
        wary = make_messages(messages, lambda text, _: mark.join(specials.every.cut_warily(text)))
        with contextlib.suppress(InvalidRequest):  # this one alone is of no use to the template
            cut_warily = apply_template(wary).split(mark)
            if specials.control.count(cut_warily) < specials.control.count(cut):
                return cut_warily
    return cut


def make_messages(messages: Iterable[Message], write: Write) -> Dictionaries:
    """One dictionary a message. Every text in them that a client has a say in is what `write` makes of it."""
    return [_message(message, write) for message in messages]


def _message(message: Message, write: Write) -> dict[str, Any]:
    role = message.role
    made: dict[str, Any] = {"role": role, "content": write(message.content, role)}
    if isinstance(message, FineMessage):
        if message.tool_calls:
            made["tool_calls"] = [_call(call, write) for call in message.tool_calls]
        if message.tool_call_id:
            made["tool_call_id"] = _name(message.tool_call_id, write)
        if message.name:
            made["name"] = _name(message.name, write)
        if message.reasoning:
            made["reasoning_content"] = write(message.reasoning, role)
    return made


def _call(call: ToolCall, write: Write) -> dict[str, Any]:
    function = {"name": _name(call.name, write), "arguments": write_arguments(call, write)}
    return {"id": _name(call.id, write), "type": "function", "function": function}


def _name(name: str, write: Write) -> str:
    """Left as it is where it can be no more than a name: templates compare them, or count their letters."""
    return name if _NAME.fullmatch(name) else write(name, "tool")


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
