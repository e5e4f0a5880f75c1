"""Whether a prompt fits a model's context, as early as can be told.

The gateway asks before a job is queued, and engines before they tokenise, which takes long for large texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.errors import ContextLengthExceeded
from shared.protocol import Chat, Completion, FineChat, FineCompletion, FineMessage, Message, Prompt, Task, Tool
from shared.registry import Card


@dataclass(frozen=True, slots=True)
class Room:
    """What a context has for the prompt that is in the request's parameter `param`."""

    context: int
    param: str

    def check(self, tokens: int, *, whole: bool = True) -> None:
        """Raises ContextLengthExceeded where so many leave no room for an answer. Not `whole`: there are more."""
        if tokens >= self.context:
            raise ContextLengthExceeded(tokens, self.context, param=self.param, whole=whole)


def check_size(task: Task, card: Card) -> None:
    """Raises ContextLengthExceeded for a prompt of more bytes, or token ids, than the context, if known, can hold."""
    if not card.context:
        return
    match task:
        case Chat():
            tools = [text for tool in _tools(task) for text in (tool.name, tool.description, tool.parameters)]
            _check(tools, card, "tools")
            _check([*tools, *(text for message in task.messages for text in _texts(message))], card, "messages")
        case FineCompletion(trims=True):
            pass
        case Completion():
            suffix = [task.suffix] if isinstance(task, FineCompletion) and task.suffix else []
            for prompt in task.prompt:
                _check([prompt], card, "prompt")
                _check([prompt, *suffix], card, "suffix")


def _tools(task: Chat) -> tuple[Tool, ...]:
    return task.tools if isinstance(task, FineChat) else ()


def _texts(message: Message) -> Iterator[str]:
    """What every template shows of it. Thoughts are not: most leave those of earlier answers out."""
    yield message.content
    if isinstance(message, FineMessage):
        for call in message.tool_calls:
            yield from (call.name, call.arguments)


def _check(parts: Sequence[Prompt], card: Card, param: str) -> None:
    ids = sum(len(part) for part in parts if not isinstance(part, str))
    size = sum(len(part.encode()) for part in parts if isinstance(part, str)) if card.longest_piece else 0
    Room(card.context, param).check(ids + (-(-size // card.longest_piece) if size else 0), whole=not size)
