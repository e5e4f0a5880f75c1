"""The messages of a chat: what clients store and send back.

They come with whatever another server, another client or another time has put into them. What nobody knows is ignored,
silently; what would change what is asked is refused.
"""

from __future__ import annotations

from itertools import dropwhile
from operator import not_
from typing import Any, ClassVar

from marshmallow import fields, post_load

from gateway.schemas.objects import Lenient, bound_keys
from gateway.schemas.parameters import Only, each, text
from gateway.schemas.problem import refuse, show, wrong_type
from shared.protocol import Message

MOST_PARTS = 2048
"""Parts of one message."""

NO_TOOLS = "inferq has no tools yet: switch function calling off in your client (Open WebUI: Function Calling = Legacy)"
"""Said to whoever sends some: in most clients they come unasked."""

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""What OpenAI calls `developer` now, models know as `system`."""

_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
"""Types of parts that are text, and which member has it."""
_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")
"""Types of parts that tell how an answer came about. No model reads them again."""


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


class Role(fields.Field[str]):
    """Who speaks."""

    json_schema: ClassVar = {"enum": list(_ROLES)}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        role = text(value)
        if role not in _ROLES:
            hint = f"; {NO_TOOLS}" if role in ("tool", "function") else ""
            raise refuse("invalid_value", f"{show(role)} is none of {', '.join(_ROLES)}{hint}")
        return _ROLES[role]


class Content(fields.Field[str]):
    """A string, or an array of parts, whose texts are joined by newlines, as llama.cpp's server joins them."""

    json_schema: ClassVar = {
        "anyOf": [{"type": "string"}, {"type": "array", "maxItems": MOST_PARTS, "items": {"anyOf": _PARTS}}]
    }

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        if isinstance(value, str):
            return text(value)
        if not isinstance(value, list):
            raise wrong_type("a string or an array of parts", value)
        if len(value) > MOST_PARTS:
            raise refuse("array_above_max_length", f"at most {MOST_PARTS} parts, but there are {len(value)}")
        # An empty part makes an empty line, but for those before the first text.
        return "\n".join(dropwhile(not_, filter(_no_thought, each(value, _part))))


def _no_thought(part: str | None) -> bool:
    return part is not None


def _part(part: object) -> str | None:
    """The text of one part, None of a thought. By hand and not a schema: a body has room for a hundred thousand."""
    if isinstance(part, str):
        return text(part)
    if not isinstance(part, dict):
        raise wrong_type("an object", part)
    bound_keys(part)
    kind = part.get("type")
    if kind is None and "text" not in part:
        raise refuse("missing_required_parameter", name="type")
    kind = "text" if kind is None else kind
    if kind in _THOUGHTS:
        return None
    if not isinstance(kind, str) or kind not in _TEXTS:
        raise refuse("unsupported_value", f"only {', '.join(map(show, _TEXTS))} are supported", name="type")
    name = _TEXTS[kind]
    if name not in part:
        raise refuse("missing_required_parameter", name=name)
    return "" if part[name] is None else text(part[name], name=name)


class MessageSchema(Lenient):
    """One turn, as a client writes it or as it got it from an answer."""

    role = Role(required=True)

    # Without these it would be another conversation.
    tool_calls = Only([], hint=NO_TOOLS)
    function_call = Only({}, hint=NO_TOOLS)
    images = Only([])
    prefix = Only(False, hint="'continue_final_message' does it here")
    partial = Only(False, hint="'continue_final_message' does it here")  # type: ignore[assignment]  # a field, not a flag

    content = Content(load_default="")  # some clients leave an empty one out

    @post_load
    def message(self, data: dict[str, Any], **kwargs: Any) -> Message:
        return Message(data["role"], data["content"])
