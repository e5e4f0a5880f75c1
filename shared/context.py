"""Whether a prompt fits a model's context, as early as can be told.

The gateway asks before a job is queued, and engines before they tokenise, which takes long for large texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from shared.card import Card
from shared.errors import ContextLengthExceeded, InvalidRequest
from shared.protocol import (
    Chat,
    Completion,
    Embedding,
    Encoding,
    FineChat,
    FineCompletion,
    FineMessage,
    Message,
    Prompt,
    Reranking,
    Task,
    Tool,
    text_task,
)

MOST_TOLD_TOKENS = 500_000
"""Tokens of a text, or of a conversation, that are told: as many as a body may have, and so more than most contexts."""
MOST_TOLD_PIECES = 65_536
"""The same where the text of each is told too."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a context has for the prompt that is in the request's parameter `param`."""

    context: int
    param: str

    def check(self, tokens: int, *, whole: bool = True) -> None:
        """Raises ContextLengthExceeded where so many leave no room for an answer. Not `whole`: there are more."""
        if tokens >= self.context:
            raise ContextLengthExceeded(tokens, self.context, param=self.param, whole=whole)


@dataclass(frozen=True, slots=True)
class WholeRoom(Room):
    """Room for what is read, and not answered with text."""

    def check(self, tokens: int, *, whole: bool = True) -> None:
        """Raises ContextLengthExceeded where there are more."""
        if tokens > self.context:
            raise ContextLengthExceeded(tokens, self.context, param=self.param, whole=whole)


@dataclass(frozen=True, slots=True)
class Telling(Room):
    """Room for tokens that are told, and not read by the model."""

    def check(self, tokens: int, *, whole: bool = True) -> None:
        """Raises InvalidRequest where there are too many."""
        if tokens > self.context:
            reason = f"Invalid '{self.param}': at most {self.context} tokens are told, but these are more."
            raise InvalidRequest(reason, param=self.param)


def check_size(task: Task, card: Card) -> None:
    """Raises ContextLengthExceeded for a prompt of more bytes, or token ids, than the context, if known, can hold, and
    InvalidRequest for one of more than are told."""
    if not card.context:
        return
    match task:
        case Embedding(cut=None):
            for place, each in enumerate(task.inputs):
                _check([each], card, WholeRoom(card.context, task.param(place)))
        case Reranking():
            _check([task.query], card, WholeRoom(card.context, "query"))
            for place, document in enumerate(task.documents if task.cut is None else ()):
                _check([task.query, document], card, WholeRoom(card.context, task.param(place)))
    room = partial(Telling, most_told(task)) if isinstance(task, Encoding) else partial(Room, card.context)
    match text_task(task):
        case Chat() as chat:
            tools = [text for tool in _tools(chat) for text in (tool.name, tool.description, tool.parameters)]
            _check(tools, card, room("tools"))
            if isinstance(chat, FineChat) and chat.trims:
                return
            _check([*tools, *(text for message in chat.messages for text in _texts(message))], card, room("messages"))
        case FineCompletion(trims=True):
            pass
        case Completion(prompt=prompts) as completion:
            suffix = [completion.suffix] if isinstance(completion, FineCompletion) and completion.suffix else []
            for prompt in prompts:
                _check([prompt], card, room("prompt"))
                _check([prompt, *suffix], card, room("suffix"))


def most_told(task: Encoding) -> int:
    """How many tokens it may be answered with."""
    return MOST_TOLD_PIECES if task.pieces else MOST_TOLD_TOKENS


def _tools(task: Chat) -> tuple[Tool, ...]:
    return task.tools if isinstance(task, FineChat) else ()


def _texts(message: Message) -> Iterator[str]:
    """What every template shows of it. Thoughts are not: most leave those of earlier answers out."""
    yield message.content
    if isinstance(message, FineMessage):
        for call in message.tool_calls:
            yield from (call.name, call.arguments)


def _check(parts: Sequence[Prompt], card: Card, room: Room) -> None:
    ids = sum(len(part) for part in parts if not isinstance(part, str))
    size = sum(len(part.encode()) for part in parts if isinstance(part, str)) if card.longest_piece else 0
    room.check(ids + (-(-size // card.longest_piece) if size else 0), whole=not size)
