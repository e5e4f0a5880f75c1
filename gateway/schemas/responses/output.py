"""The output of a response: items, one after the other as their pieces come.

A whole answer and a stream are made of the same steps, so that what a client folds is what is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from msgspec import Raw

from gateway.schemas.logprobs import GrowingArray, tell_tokens
from gateway.schemas.responses.ids import output_id
from gateway.schemas.speech import call_id
from shared.protocol import Accepted, Call, Delta, TextTask


class ItemKind(NamedTuple):
    """What items and events of one kind are called."""

    type: str
    prefix: str
    """Of an item's id."""
    place: str
    """Where an item has its text, or the one part that has it."""
    event: str
    """Of the text, without what happened to it."""
    whole: str = "text"
    """Where the event of its end has the text."""
    part: str = ""
    """Type of the part that has the text; empty where the item itself has it."""
    part_event: str = "content_part"
    part_index: str = "content_index"


MESSAGE = ItemKind("message", "msg", "content", "output_text", part="output_text")
THOUGHTS = ItemKind("reasoning", "rs", "content", "reasoning_text", part="reasoning_text")
SUMMARY = ItemKind(
    "reasoning",
    "rs",
    "summary",
    "reasoning_summary_text",
    part="summary_text",
    part_event="reasoning_summary_part",
    part_index="summary_index",
)
FUNCTION = ItemKind("function_call", "fc", "arguments", "function_call_arguments", "arguments")
CUSTOM = ItemKind("custom_tool_call", "ctc", "input", "custom_tool_call_input", "input")


class OutputItem:
    """One of the output, as it grows, in little more memory than its text takes as bytes."""

    def __init__(self, job_id: str, place: int, kind: ItemKind, call: Call | None) -> None:
        self.kind, self.place = kind, place
        self.id = output_id(kind.prefix, job_id, place)
        self.call = call
        self._call_id = call_id(job_id, 0, call.index) if call else ""
        self._text, self._logprobs = bytearray(), GrowingArray()

    def add(self, text: str, logprobs: Iterable[dict[str, Any]]) -> None:
        self._text += text.encode()
        for each in logprobs:
            self._logprobs.add(each)

    def begun(self) -> dict[str, Any]:
        """As it begins."""
        return self._item("in_progress", [] if self.kind.part else "")

    def ended(self, status: str) -> EndedItem:
        """As it is now; its log probabilities are let go of."""
        text, logprobs = self._text.decode(), self._logprobs.take()
        part = self.part(text, logprobs)
        return EndedItem(self, text, logprobs, part, self._item(status, [part] if part else text))

    def part(self, text: str, logprobs: Raw | list[Any]) -> dict[str, Any] | None:
        """The part that has its text, with this one; None where the item itself has it."""
        if not self.kind.part:
            return None
        told = {"type": self.kind.part, "text": text}
        return {**told, "annotations": [], "logprobs": logprobs} if self.kind is MESSAGE else told

    def _item(self, status: str, content: Any) -> dict[str, Any]:
        head = {"type": self.kind.type, "id": self.id, "status": status}
        if self.call:
            return {**head, "call_id": self._call_id, "name": self.call.name, self.kind.place: content}
        if self.kind is MESSAGE:
            return {**head, "role": "assistant", "content": content}
        return {**head, "summary": [], "content": [], "encrypted_content": None, self.kind.place: content}


class EndedItem(NamedTuple):
    """One to which nothing more comes."""

    item: OutputItem
    text: str
    logprobs: Raw
    part: dict[str, Any] | None
    told: dict[str, Any]
    """All of it."""


class BegunItem(NamedTuple):
    item: OutputItem


class GrownItem(NamedTuple):
    item: OutputItem
    text: str
    logprobs: list[dict[str, Any]]


Step = BegunItem | GrownItem | EndedItem


class Output:
    """The items so far. Another begins wherever a piece is of something else."""

    def __init__(self, job_id: str, accepted: Accepted) -> None:
        self._job_id = job_id
        self._hides_thoughts = accepted.options.hides_reasoning
        self._scores = isinstance(accepted.task, TextTask) and accepted.task.sampling.logprobs is not None
        self._as_ids = accepted.options.tokens_as_ids
        self._thoughts = SUMMARY if summarises(accepted.options.asked) else THOUGHTS
        self._ended = list[dict[str, Any]]()
        self._open: OutputItem | None = None
        self._channel: Call | bool | None = None
        self._untold = list[dict[str, Any]]()
        """Log probabilities of tokens without text, before the message that they are told in."""
        self.reason = ""
        """The finish reason."""

    def take(self, piece: Delta) -> Iterator[Step]:
        """What a piece does to the items: take all of it."""
        logprobs, self._untold = self._untold + self._score(piece), []
        if self._tells(piece):
            if self._open is None or piece.channel != self._channel:
                yield from self._close("completed")
                self._channel = piece.channel
                self._open = OutputItem(self._job_id, len(self._ended), self._kind(piece), piece.call)
                yield BegunItem(self._open)
            told, self._untold = (logprobs, []) if self._open.kind is MESSAGE else ([], logprobs)
            self._open.add(piece.text, told)
            if piece.text or told:
                yield GrownItem(self._open, piece.text, told)
        elif self._open and self._open.kind is MESSAGE and logprobs:
            self._open.add("", logprobs)
            yield GrownItem(self._open, "", logprobs)
        else:
            self._untold = logprobs
        if piece.finish_reason:
            self.reason = piece.finish_reason
            yield from self._close("incomplete" if self.reason == "length" else "completed")

    def cut(self) -> Iterator[Step]:
        """Nothing more comes, although the answer is not whole."""
        return self._close("incomplete")

    def items(self) -> list[dict[str, Any]]:
        """What there is; the open one is let go of."""
        going = [self._open.ended("in_progress").told] if self._open else []
        return [*self._ended, *going]

    def _close(self, status: str) -> Iterator[Step]:
        if self._open:
            ended, self._open = self._open.ended(status), None
            self._ended.append(ended.told)
            yield ended

    def _tells(self, piece: Delta) -> bool:
        """Whether there is anything of a piece to tell."""
        return bool(piece.text or piece.call) and not (piece.reasoning and self._hides_thoughts)

    def _score(self, piece: Delta) -> list[dict[str, Any]]:
        """The log probabilities of a piece of the content: OpenAI's items have no others."""
        wanted = self._scores and piece.logprobs and piece.channel is False
        return list(tell_tokens(piece.logprobs, as_ids=self._as_ids)) if wanted else []

    def _kind(self, piece: Delta) -> ItemKind:
        if piece.call:
            return CUSTOM if piece.call.custom else FUNCTION
        return self._thoughts if piece.reasoning else MESSAGE


def summarises(asked: dict[str, Any]) -> bool:
    """Whether thoughts are told as their summary, which is what most clients show: where it is asked for."""
    reasoning = asked.get("reasoning") or {}
    return bool(reasoning.get("summary") or reasoning.get("generate_summary"))
