"""What tasks need of a model: the one table of it, and what to say where the model lacks it.

The gateway asks before a job is queued, and the worker before it computes one that came while nobody knew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from shared.card import Ability, Card
from shared.errors import InvalidRequest
from shared.protocol import (
    Chat,
    Completion,
    Embedding,
    Encoding,
    FineChat,
    FineCompletion,
    PoolingTask,
    Reranking,
    Task,
    TextTask,
    text_task,
)

MOST_NAMED = 20
"""Models that an answer names where another was asked for."""


@dataclass(frozen=True, slots=True)
class Need:
    """A task that is so needs the ability of its model, and so does one that asks about its prompt."""

    ability: Ability
    by: Callable[[TextTask | PoolingTask], bool]
    lack: str
    """What to say of a model without it, whose id stands for `{}`."""
    param: str = "model"
    code: str = "unsupported_value"
    serve: str = ""
    """How to serve a model that has it, where none does."""


_ELSE = "or serve it with the engine llama.cpp, by a worker of inferq's release after 0.2.0."

_CHATS = "`inferq up smollm2` serves one."

NEEDS = (
    Need(
        Ability.COMPLETION,
        lambda task: isinstance(task, Chat),
        "The model {!r} writes no texts, so it cannot chat: it is for /v1/embeddings or /v1/rerank.",
        serve=_CHATS,
    ),
    Need(
        Ability.CHAT,
        lambda task: isinstance(task, Chat),
        "The model {!r} has no chat template; use /v1/completions with it, or serve it with --chat-format (or"
        " chat_format in models.toml): chatml, alpaca, vicuna, llama-2, gpt4all-j, plain, or a Jinja file.",
    ),
    Need(
        Ability.COMPLETION,
        lambda task: isinstance(task, Completion),
        "The model {!r} writes no texts: it is for /v1/embeddings or /v1/rerank.",
        serve=_CHATS,
    ),
    Need(
        Ability.INFILL,
        lambda task: isinstance(task, FineCompletion) and task.suffix is not None,
        "The model {!r} has no infill tokens: it can go on with a text, but not fill a gap before a suffix.",
    ),
    Need(
        Ability.TOOLS,
        lambda task: isinstance(task, FineChat) and bool(task.tools),
        "The model {!r} cannot call tools: leave them out, " + _ELSE,
        param="tools",
    ),
    Need(
        Ability.TOOLS,
        lambda task: isinstance(task, Chat) and task.has_called,
        "The model {!r} does not know calls of tools and their results: leave them out, " + _ELSE,
        param="messages",
    ),
    Need(
        Ability.EMBEDDING,
        lambda task: isinstance(task, Embedding),
        "The model {!r} does not embed texts.",
        serve="`inferq up minilm` serves one.",
    ),
    Need(
        Ability.RERANK,
        lambda task: isinstance(task, Reranking),
        "The model {!r} does not rank documents.",
        serve="`inferq up FILE` serves one, of a reranking model's GGUF file.",
    ),
)


def spare(task: Task, card: Card) -> Task:
    """The task, without what the model cannot do and need not: whether, how much and how long to think."""
    if isinstance(task, Encoding) and isinstance(task.given, Chat):
        return replace(task, given=spare(task.given, card))
    if isinstance(task, FineChat) and card.context and Ability.REASONING not in card.abilities:
        return replace(task, thinking=None, effort="", thinking_budget=None).simplest()
    return task


def writes(card: Card) -> bool:
    """Whether the model writes texts, as far as is known."""
    return not card.capabilities or Ability.COMPLETION in card.abilities


def find_lack(task: Task, card: Card) -> Need | None:
    """What the task needs and the model lacks. An outline that does not tell is let pass."""
    asked = task if isinstance(task, PoolingTask) else text_task(task)
    if not card.capabilities or asked is None:
        return None
    return next((need for need in NEEDS if need.by(asked) and need.ability not in card.abilities), None)


def check(task: Task, card: Card, others: Iterable[Card] | None = None) -> None:
    """Raises InvalidRequest where the model cannot do what the task asks, see `find_lack`; it names those of `others`,
    all models that are served, which can."""
    if lack := find_lack(task, card):
        more = "" if others is None else _able(task, lack, others)
        raise InvalidRequest(lack.lack.format(card.id) + more, param=lack.param, code=lack.code)


def _able(task: Task, lack: Need, cards: Iterable[Card]) -> str:
    """Which models can do what the task asks, or how to serve one, as words that go on from others."""
    names = [card.id for card in cards if card.capabilities and find_lack(task, card) is None]
    if not names:
        return f" No model here can: {lack.serve}" if lack.serve else ""
    more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f" Models that can: {', '.join(names[:MOST_NAMED])}{more}."
