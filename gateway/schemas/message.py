"""The messages of a chat: what clients store and send back.

They come with whatever another server, another client or another time has put into them. What nobody knows is ignored,
silently; what would change what is asked is refused.
"""

from __future__ import annotations

from itertools import dropwhile
from operator import not_
from typing import Any, ClassVar, Literal, NamedTuple

from marshmallow import fields, post_load

from gateway.schemas.objects import Lenient, bound_keys
from gateway.schemas.parameters import Only, each, short, text
from gateway.schemas.problem import refuse, show, wrong_type
from gateway.schemas.tool_calls import LONGEST_CALL_ID, Calls, LegacyCall
from shared.protocol import FineMessage, Message

MOST_PARTS = 2048
"""Parts of one message."""

_ROLES: dict[str, Literal["system", "user", "assistant", "tool"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
"""What OpenAI calls `developer` now, models know as `system`; and `tool` was once `function`."""

_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
"""Types of parts that are text, and which member has it."""
_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")
"""Types of parts that tell how an answer came about."""
_TOLD_AS = ("reasoning_content", "reasoning", "thinking")
"""What servers call the thoughts before an answer."""


_TEXT = {"type": ["string", "null"]}
_PARTS: list[dict[str, Any]] = [
    {"type": "string"},
    {"type": "object", "properties": {"type": {"type": "null"}, "text": _TEXT}, "required": ["text"]},
    *(
        {"type": "object", "properties": {"type": {"const": kind}, name: _TEXT}, "required": ["type", name]}
        for kind, name in _TEXTS.items()
    ),
    {"type": "object", "properties": {"type": {"enum": list(_THOUGHTS)}}, "required": ["type"]},
]
"""What a part may be, in the words of JSON Schema."""


class Role(fields.Field[Any]):
    """Who speaks."""

    json_schema: ClassVar = {"enum": list(_ROLES)}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        role = text(value)
        if role not in _ROLES:
            raise refuse("invalid_value", f"{show(role)} is none of {', '.join(_ROLES)}")
        return _ROLES[role]


class Spoken(NamedTuple):
    """What the parts of a message say."""

    content: str = ""
    thoughts: str = ""


class Content(fields.Field[Spoken]):
    """A string, or an array of parts, whose texts are joined by newlines, as llama.cpp's server joins them."""

    json_schema: ClassVar = {
        "anyOf": [{"type": "string"}, {"type": "array", "maxItems": MOST_PARTS, "items": {"anyOf": _PARTS}}]
    }

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> Spoken:
        if isinstance(value, str):
            return Spoken(text(value))
        if not isinstance(value, list):
            raise wrong_type("a string or an array of parts", value)
        if len(value) > MOST_PARTS:
            raise refuse("array_above_max_length", f"at most {MOST_PARTS} parts, but there are {len(value)}")
        parts = each(value, _part)
        # An empty part makes an empty line, but for those before the first text.
        texts = dropwhile(not_, (said for thought, said in parts if not thought))
        return Spoken("\n".join(texts), "\n".join(said for thought, said in parts if thought and said))


def _part(part: object) -> tuple[bool, str]:
    """Whether it is a thought, and its text. By hand and not a schema: a body has room for a hundred thousand."""
    if isinstance(part, str):
        return False, text(part)
    if not isinstance(part, dict):
        raise wrong_type("an object", part)
    bound_keys(part)
    kind = part.get("type")
    if kind is None and "text" not in part:
        raise refuse("missing_required_parameter", name="type")
    kind = "text" if kind is None else kind
    if kind in _THOUGHTS:
        return True, _thought(part)
    if not isinstance(kind, str) or kind not in _TEXTS:
        raise refuse("unsupported_value", f"only {', '.join(map(show, _TEXTS))} are supported", name="type")
    name = _TEXTS[kind]
    if name not in part:
        raise refuse("missing_required_parameter", name=name)
    return False, "" if part[name] is None else text(part[name], name=name)


def _thought(part: dict[str, Any]) -> str:
    """What it says, as far as that is text. Mistral's has parts of its own."""
    found = next((part[name] for name in ("thinking", "reasoning", "text") if part.get(name)), "")
    inner = found if isinstance(found, list) else [found]
    texts = (one.get("text") if isinstance(one, dict) else one for one in inner)
    return "\n".join(text(one) for one in texts if isinstance(one, str))


class MessageSchema(Lenient):
    """One turn, as a client writes it or as it got it from an answer."""

    role = Role(required=True)
    tool_calls = Calls()
    function_call = LegacyCall()

    # Without these it would be another conversation.
    images = Only([])
    prefix = Only(False, hint="'continue_final_message' does it here")
    partial = Only(False, hint="'continue_final_message' does it here")  # type: ignore[assignment]  # a field, not a flag

    content = Content()

    @post_load
    def message(self, data: dict[str, Any], **kwargs: Any) -> Message:
        role, spoken = data["role"], data.get("content", Spoken())  # some clients leave an empty one out
        calls, legacy = tuple(data.get("tool_calls", ())), data.get("function_call")
        if calls and legacy:
            raise refuse("invalid_value", "not together with 'tool_calls'", name="function_call")
        if (calls or legacy) and role != "assistant":
            raise refuse(
                "invalid_value", "only the assistant calls tools", name="tool_calls" if calls else "function_call"
            )
        if role == "assistant":
            calls = calls or ((legacy,) if legacy else ())
            reasoning = _reasoning(data) or spoken.thoughts
            if calls or reasoning:
                return FineMessage(role, spoken.content, calls, reasoning=reasoning)
        elif role == "tool":
            return FineMessage(
                role, spoken.content, tool_call_id=_identifier(data, "tool_call_id"), name=_identifier(data, "name")
            )
        return Message(role, spoken.content)


def _reasoning(data: dict[str, Any]) -> str:
    """What it thought before it answered, as the first says of those who say it."""
    told = ((name, data.get(name)) for name in _TOLD_AS)
    return next((text(said, name=name) for name, said in told if isinstance(said, str) and said.strip()), "")


def _identifier(data: dict[str, Any], name: str) -> str:
    """Of a result. In other messages nobody asks what it is."""
    return short(data.get(name, ""), LONGEST_CALL_ID, name=name)
