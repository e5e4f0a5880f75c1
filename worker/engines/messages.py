"""A conversation as templates get it, in OpenAI's terms, and the prompt that they make of it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from shared.errors import InvalidRequest
from shared.protocol import Chat, FineMessage, Message, ToolCall
from worker.engines.special_texts import Specials, choose_mark

Dictionaries = list[dict[str, Any]]
MOST_LEVELS = 100
"""Of arrays and objects in a call's arguments, where deeper ones are a text, and in a template's variables."""
_NO_VARIABLES: Mapping[str, Any] = {}
_NAME = re.compile(r"[A-Za-z0-9_-]*")
Write = Callable[[str, str], str]
"""What is to stand for a text of a message of some role."""
ApplyTemplate = Callable[[Dictionaries, dict[str, Any]], str]
"""The prompt that it makes of messages and further variables. Raises InvalidRequest where it refuses them."""


def render_chat(task: Chat, specials: Specials, apply_template: ApplyTemplate) -> list[str]:
    """The prompt, with the beginning of the answer where it has one; see `render`."""
    if not task.continue_final:
        return render(task.messages, specials, apply_template)
    *turns, begun = task.messages
    return specials.go_on(render(turns, specials, apply_template), ["", begun.content])


def render(
    messages: Sequence[Message],
    specials: Specials,
    apply_template: ApplyTemplate,
    variables: Mapping[str, Any] = _NO_VARIABLES,
) -> list[str]:
    """What a template makes of messages, in texts that follow each other, each to be tokenised for itself: no special
    token is made of what is not the template's own.

    Where a text of a message has one, it is cut. A template may still make one of what it takes from two places, or
    leaves out: then they are cut wherever one might begin.
    """
    texts: list[str] = []

    def note(text: str, role: str) -> str:
        texts.append(text)
        return text

    def apply(cut: Callable[[str, str], list[str]]) -> list[str]:
        def write(text: str, role: str) -> str:
            return mark.join(cut(text, role))

        return apply_template(make_messages(messages, write), make_variables(variables, write)).split(mark)

    make_messages(messages, note), make_variables(variables, note)
    mark = choose_mark(texts)
    found = apply(specials.cut)
    if any(map(specials.every.might_help, texts)):
        with contextlib.suppress(InvalidRequest):  # it is of no use to the template, which is no fault of the request
            wary = apply(lambda text, _: specials.every.cut_warily(text))
            if specials.control.count(wary) < specials.control.count(found):
                return wary
    return found


def make_messages(messages: Iterable[Message], write: Write) -> Dictionaries:
    """One dictionary a message. Every text in them that a client has a say in is what `write` makes of it."""
    return [_message(message, write) for message in messages]


def make_variables(variables: Mapping[str, Any], write: Write) -> dict[str, Any]:
    """Further variables of a template, likewise. Raises InvalidRequest for what is too deep."""
    try:
        return {key: _written(value, write, "system") for key, value in variables.items()}
    except ValueError:
        reason = f"there are more than {MOST_LEVELS} arrays and objects in each other"
        raise InvalidRequest(reason, param="chat_template_kwargs") from None


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
    """A JSON object. The texts in it are written, not JSON's own: templates that take it apart see no escapes.

    What is none, as of a custom tool or of a model that wrote something else, is its `input`.
    """
    if not call.custom:
        with contextlib.suppress(ValueError, RecursionError):
            values = json.loads(call.arguments or "{}")
            written = _written(values, write, "assistant")
            made = json.dumps(written, ensure_ascii=False, allow_nan=False)
            if isinstance(values, dict) and made.encode():
                return (call.arguments or made) if written == values else made
    return json.dumps({"input": write(call.arguments, "assistant")}, ensure_ascii=False)


def _written(value: Any, write: Write, role: str, level: int = 1) -> Any:
    """Texts that are no more than a name are left as they are: templates compare them."""
    if level > MOST_LEVELS:
        raise ValueError("too deep")
    match value:
        case str():
            return value if _NAME.fullmatch(value) else write(value, role)
        case list():
            return [_written(item, write, role, level + 1) for item in value]
        case dict():
            return {
                _written(key, write, role, level): _written(item, write, role, level + 1) for key, item in value.items()
            }
    return value
