"""What the assistant says, in the words of OpenAI's chats: a whole message, and the pieces of one.

Thoughts are `reasoning_content`, which is DeepSeek's and known to most clients: OpenAI's API tells none.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from gateway.schemas.answer import Choice
from gateway.schemas.format import PAUSE
from shared.protocol import Call, Delta, Event, FinishReason, Options, StartOver

_LETTERS = string.ascii_letters + string.digits
_BEGIN, _END = "<think>\n", "\n</think>\n\n"
"""What most models that think have around their thoughts, and clients look for in the content."""
_ID = 24
"""Letters of a call's id, as OpenAI's have them."""


def call_id(job_id: str, choice: int, call: int, prefix: str = "call_") -> str:
    """The same whenever the call is told: also of an answer that was computed again, or that somebody else reads."""
    number = int.from_bytes(hashlib.blake2b(f"{job_id}/{choice}/{call}".encode()).digest())
    letters = []
    for _ in range(_ID):
        number, letter = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[letter])
    return prefix + "".join(letters)


class Speech:
    """The words for the answer to one job."""

    def __init__(self, job_id: str, options: Options) -> None:
        self._job_id = job_id
        self._legacy = options.legacy_functions
        self._hides = options.hides_reasoning

    def tells(self, piece: Delta) -> bool:
        """Whether the client is told what the piece belongs to. Of calls, `function_call` has room for the first."""
        return not (self._hides if piece.reasoning else self._legacy and piece.call and piece.call.index)

    def end(self, reason: FinishReason) -> str:
        """The `finish_reason`."""
        return "function_call" if self._legacy and reason == "tool_calls" else reason

    def message(self, choice: Choice) -> dict[str, Any]:
        """The whole of it; the content is null where there are only calls."""
        told: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
        if choice.thoughts and not self._hides:
            told["reasoning_content"] = choice.thoughts
        if choice.calls:
            told["content"] = choice.text or None
            whole = [self._begin(choice.index, call, text) for call, text in choice.calls]
            told |= {"function_call": whole[0]} if self._legacy else {"tool_calls": whole}
        return told

    def begin(self, piece: Delta) -> dict[str, Any]:
        """The first piece of a call: it alone says which one it is, for clients glue together what comes twice."""
        assert piece.call is not None
        begun = self._begin(piece.index, piece.call, piece.text)
        return {"function_call": begun} if self._legacy else {"tool_calls": [{"index": piece.call.index, **begun}]}

    def go_on(self, piece: Delta, text: str) -> dict[str, Any]:
        """What comes after a piece, of the same part."""
        if piece.call is None:
            return {"reasoning_content" if piece.reasoning else "content": text}
        if self._legacy:
            return {"function_call": {"arguments": text}}
        kind, arguments = _kind(piece.call)
        return {"tool_calls": [{"index": piece.call.index, kind: {arguments: text}}]}

    def _begin(self, choice: int, call: Call, text: str) -> dict[str, Any]:
        if self._legacy:
            return {"name": call.name, "arguments": text}
        kind, arguments = _kind(call)
        named = {"name": call.name, arguments: text}
        return {"id": call_id(self._job_id, choice, call.index), "type": kind, kind: named}


def inline(options: Options) -> Callable[[Event], Iterable[Event]]:
    """Puts the thoughts of each choice into its content, between tags, where the options say so."""
    thinking = set[int]()

    def put(event: Event) -> Iterable[Event]:
        if isinstance(event, StartOver):
            thinking.clear()
        elif isinstance(event, Delta) and event is not PAUSE:
            index = event.index
            if event.reasoning:
                begin = _BEGIN if event.text and index not in thinking else ""
                thinking.update([index] if begin else [])
                return (replace(event, text=begin + event.text, reasoning=False),)
            if index in thinking and (event.text or event.call):
                thinking.remove(index)
                return (Delta(_END, index=index), event)
        return (event,)

    return put if options.inlines_reasoning else lambda event: (event,)


def _kind(call: Call) -> tuple[str, str]:
    """The type of a call, and what its arguments are called."""
    return ("custom", "input") if call.custom else ("function", "arguments")
