"""The messages of a conversation in Anthropic's words, and the turns that a template knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, groupby
from typing import Any, Literal, NamedTuple

from marshmallow import ValidationError, post_load
from msgspec.structs import replace

from gateway.schemas.anthropic.blocks import MESSAGE, BlockContent, Part, Thought, join
from gateway.schemas.caps import MAX_MESSAGES
from gateway.schemas.objects import Lenient
from gateway.schemas.parameters import Only, Word
from gateway.schemas.problem import refuse, show
from shared.protocol import FineMessage, Message, ToolCall

_Role = Literal["user", "assistant", "system"]
_Calls = dict[str, tuple[int, ToolCall]]
"""The latest by their ids, which some clients give again, each with its place among all."""

_PARTS: dict[str, tuple[type, ...]] = {
    "user": (str, FineMessage),
    "assistant": (str, Thought, ToolCall),
    "system": (str,),
}
"""The roles, and what their messages may say."""


class Said(NamedTuple):
    """What one message says."""

    role: _Role
    parts: Sequence[Part]
    brief: bool = False
    """Nobody is told it any more once the user has spoken again."""


class SaidSchema(Lenient):
    role = Word(*_PARTS, required=True)
    content = BlockContent(*MESSAGE, required=True)
    clear_at = Word("never", "next_user_message")
    output_config = Only({}, hint="the request's own holds for all of its messages")

    @post_load
    def spoken(self, data: dict[str, Any], **kwargs: Any) -> Said:
        role = data["role"]
        for place, part in enumerate(data["content"]):
            if not isinstance(part, _PARTS[role]):
                wrong = refuse("invalid_value", f"a message of the role {show(role)} has none of it", name="type")
                raise ValidationError({"content": {place: wrong.messages}})
        return Said(role, data["content"], role == "system" and data.get("clear_at") == "next_user_message")


def make_turns(system: Sequence[Part], messages: Sequence[Said]) -> tuple[Message, ...]:
    """What a template knows of them. Raises ValidationError for a result of no call, and for too many.

    What one side says in a row is one turn. What tools have answered comes before what the user says beside it, in the
    order in which they were called: many templates know neither another order nor the ids.
    """
    _check_results(messages)
    last = max((place for place, one in enumerate(messages) if one.role == "user"), default=-1)
    told = [one for place, one in enumerate(messages) if not (one.brief and place < last)]
    spoken = [Said("system", system), *told] if system else told
    calls, turns, number = _Calls(), list[Message](), count()
    for role, row in groupby(spoken, key=lambda one: one.role):
        parts = [part for one in row for part in one.parts]
        turns += _turns(role, parts, calls)
        calls.update((part.id, (next(number), part)) for part in parts if isinstance(part, ToolCall))
    if len(turns) > int(MAX_MESSAGES):
        problem = f"at most {MAX_MESSAGES}, and each result is one, but there are {len(turns)}"
        raise refuse("array_above_max_length", problem, name="messages")
    return tuple(turns)


def _turns(role: _Role, parts: list[Part], calls: _Calls) -> Iterator[Message]:
    results = [part for part in parts if isinstance(part, FineMessage)]
    for result in sorted(results, key=lambda result: calls[result.tool_call_id][0]):
        yield replace(result, name=calls[result.tool_call_id][1].name)
    made = tuple(part for part in parts if isinstance(part, ToolCall))
    thoughts = "\n".join(part.text for part in parts if isinstance(part, Thought) and part.text)
    if made or thoughts:
        yield FineMessage(role, join(parts), made, reasoning=thoughts)
    elif not results or any(isinstance(part, str) for part in parts):
        yield Message(role, join(parts))


def _check_results(messages: Iterable[Said]) -> None:
    called = set[str]()
    for number, message in enumerate(messages):
        for place, part in enumerate(message.parts):
            if isinstance(part, ToolCall):
                called.add(part.id)
            elif isinstance(part, FineMessage) and part.tool_call_id not in called:
                problem = f"no call before it has the id {show(part.tool_call_id)}"
                orphan = refuse("invalid_value", problem, name="tool_use_id").messages
                raise ValidationError({"messages": {number: {"content": {place: orphan}}}})
