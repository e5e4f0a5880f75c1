"""What /api/generate remembers of a conversation: numbers, which clients send back as they are.

Ollama's are the ids of tokens. Here they are the bytes of the turns themselves, three in each, so that the template
makes the next prompt of them as of any conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from marshmallow import fields

from gateway.schemas.caps import MAX_MESSAGES
from gateway.schemas.parameters import each, whole
from gateway.schemas.problem import refuse, wrong_type
from shared.protocol import Message

LARGEST_CONTEXT = 65_536
"""Bytes of the turns that an answer tells again for the next request; of more it tells none."""

_MARK = 0x1F_E110
"""What they begin with."""
_WIDTH = 3
_MOST = LARGEST_CONTEXT // _WIDTH + 2
_FOREIGN = "these are no numbers that an answer of /api/generate has told here; /api/chat takes messages"

_Turns = list[tuple[Literal["system", "user", "assistant"], str]]
_DECODER = msgspec.json.Decoder(_Turns)


class Remembered(fields.Field[list[Message]]):
    """The turns that an earlier answer has told; none of no numbers."""

    @property
    def json_schema(self) -> dict[str, Any]:
        number = {"type": "integer", "minimum": 0, "maximum": 256**_WIDTH - 1}
        return {"type": "array", "items": number, "maxItems": _MOST}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> list[Message]:
        if not isinstance(value, list):
            raise wrong_type("an array", value)
        if len(value) > _MOST:
            raise refuse("array_above_max_length", f"at most {_MOST} numbers")
        return _unpack(each(value, whole)) if value else []


def remember(said: Sequence[Message]) -> list[list[str]] | None:
    """What the next request is to know, as JSON; None where it is too much."""
    turns = [[message.role, message.content] for message in said]
    return turns if len(msgspec.json.encode(turns)) <= LARGEST_CONTEXT else None


def pack(turns: Sequence[Sequence[str]]) -> list[int]:
    """The numbers for these; none of too many."""
    blob = msgspec.json.encode(turns)
    if len(blob) > LARGEST_CONTEXT:
        return []
    blob = blob.ljust(-(-len(blob) // _WIDTH) * _WIDTH)  # JSON may end with spaces
    return [_MARK, *(int.from_bytes(blob[place : place + _WIDTH]) for place in range(0, len(blob), _WIDTH))]


def _unpack(numbers: Sequence[int]) -> list[Message]:
    try:
        mark, *rest = numbers
        turns = _DECODER.decode(b"".join(number.to_bytes(_WIDTH) for number in rest))
    except (msgspec.DecodeError, UnicodeDecodeError, OverflowError) as exc:
        raise refuse("invalid_value", _FOREIGN) from exc
    if mark != _MARK or len(turns) >= int(MAX_MESSAGES):
        raise refuse("invalid_value", _FOREIGN)
    return [Message(role, content) for role, content in turns]
