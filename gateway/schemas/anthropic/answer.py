"""An answer in Anthropic's words: a message, whose content is blocks, one after the other as they came."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple, assert_never

from gateway.schemas.anthropic.arguments import complete
from gateway.schemas.speech import call_id
from shared.protocol import Accepted, Call, Delta, Done, Event, Failed, Progress, StartOver, Told, Usage

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}

_NOT_HERE = {"cache_creation": None, "inference_geo": None, "server_tool_use": None}
"""What Anthropic's answers always tell of the use of things that are not here."""


class Ending(NamedTuple):
    """Why an answer has ended."""

    reason: str | None = None
    sequence: str | None = None
    """The stop sequence that has ended it."""


class Blocks:
    """Which block of an answer each of its pieces is of: another begins wherever a piece is of something else."""

    def __init__(self, job_id: str, *, hides_thoughts: bool) -> None:
        self.count = 0
        """How many have begun."""
        self._job_id = job_id
        self._hides_thoughts = hides_thoughts
        self._channel: Call | bool | None = None

    @property
    def thinks(self) -> bool:
        """Whether the last one is of thoughts."""
        return self._channel is True

    def tells(self, piece: Delta) -> bool:
        """Whether there is anything of a piece to tell."""
        return bool(piece.text or piece.call) and not (piece.reasoning and self._hides_thoughts)

    def begins(self, piece: Delta) -> bool:
        """Whether a piece that is told is the first of another block."""
        return piece.channel != self._channel

    def begin(self, piece: Delta) -> None:
        self.count += 1
        self._channel = piece.channel

    def empty(self) -> dict[str, Any]:
        """The last one, as it begins."""
        match self._channel:
            case Call(index=index, name=name):
                number = call_id(self._job_id, 0, index, "toolu_")
                return {"type": "tool_use", "id": number, "name": name, "input": {}, "caller": {"type": "direct"}}
            case True:
                return {"type": "thinking", "thinking": "", "signature": ""}
        return {"type": "text", "text": "", "citations": []}

    def signature(self) -> str:
        """Of the last one, of thoughts. It is the same whenever they are told; nobody here reads it again."""
        return base64.b64encode(hashlib.blake2b(f"{self._job_id}/{self.count}".encode()).digest()).decode()


class _MessageSoFar:
    """What has come of a message, in little more memory than its text takes as bytes."""

    def __init__(self, blocks: Blocks) -> None:
        self.ending = Ending()
        self._blocks = blocks
        self._told = list[tuple[dict[str, Any], bytearray]]()

    def add(self, piece: Delta) -> None:
        if self._blocks.tells(piece):
            if self._blocks.begins(piece):
                self._blocks.begin(piece)
                self._told.append((self._blocks.empty(), bytearray()))
                if self._blocks.thinks:
                    self._told[-1][0]["signature"] = self._blocks.signature()
            self._told[-1][1].extend(piece.text.encode())
        self.ending = end(piece)

    def blocks(self) -> list[dict[str, Any]]:
        """The blocks, which are let go of."""
        return [_fill(block, text) for block, text in self._release()]

    def _release(self) -> Iterable[tuple[dict[str, Any], str]]:
        self._told.reverse()
        while self._told:
            block, text = self._told.pop()
            yield block, text.decode()


def _fill(block: dict[str, Any], text: str) -> dict[str, Any]:
    match block["type"]:
        case "tool_use":
            return {**block, "input": complete(text)}
        case kind:
            return {**block, kind: text}


def end(piece: Delta) -> Ending:
    """Why the answer has ended, where this is its last piece."""
    if piece.stop:
        return Ending("stop_sequence", piece.stop)
    return Ending(_REASONS[piece.finish_reason]) if piece.finish_reason else Ending()


def render(job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
    """`Format.render`"""
    told, used = _begin(job_id, accepted), Usage(0, 0)
    for event in events:
        match event:
            case Delta():
                told.add(event)
            case StartOver():
                told = _begin(job_id, accepted)
            case Done():
                used = event.usage
            case Progress():
                pass
            case Told():
                raise AssertionError("these are no parts of a text")
            case Failed():
                raise AssertionError(f"a failed job has no answer: {event.code}")
            case _:
                assert_never(event)
    return message(job_id, accepted, used, told.blocks(), told.ending)


def _begin(job_id: str, accepted: Accepted) -> _MessageSoFar:
    return _MessageSoFar(Blocks(job_id, hides_thoughts=accepted.options.hides_reasoning))


def message(
    job_id: str, accepted: Accepted, used: Usage, content: list[dict[str, Any]], ending: Ending
) -> dict[str, Any]:
    """The message, whole or as it begins."""
    tier = "priority" if accepted.options.tier == "priority" else "standard"
    return {
        "id": job_id,
        "type": "message",
        "role": "assistant",
        "model": accepted.task.model,
        "content": content,
        "stop_reason": ending.reason,
        "stop_sequence": ending.sequence,
        "stop_details": None,
        "container": None,
        "usage": {**usage(used), **_NOT_HERE, "service_tier": tier},
    }


def usage(used: Usage) -> dict[str, Any]:
    """Anthropic's counts: what was found in a cache is not among the tokens of the input."""
    return {
        "input_tokens": used.prompt_tokens - used.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": used.cached_tokens,
        "output_tokens": used.completion_tokens,
        "output_tokens_details": {"thinking_tokens": used.reasoning_tokens},
    }
