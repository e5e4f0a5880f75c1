"""Conversations that are longer than a context, and may be cut: their oldest turns are left out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from msgspec.structs import replace

from shared.cancellation import Cancellable
from shared.context import check_size
from shared.errors import InvalidRequest
from shared.protocol import Encoding, FineChat, Message, TextTask
from worker.engines import Engine

_SHARE = 4
"""Where something is left out, that the answer has room: what it asks for, but no more than one part in so many."""


def trim(task: TextTask, engine: Engine, work: Cancellable) -> TextTask:
    """The task with as many of its latest turns as fit, after its instructions; itself where all of them do, or where
    nothing may be left out, or the last ones alone do not fit. The same whenever this model is asked."""
    context = engine.card.context
    if not isinstance(task, FineChat) or not task.trims or _fits(task, engine, work, context):
        return task
    turns = task.messages
    head = next((place for place, turn in enumerate(turns) if turn.role != "system"), len(turns))
    most = context - min(task.sampling.max_tokens or context, context // _SHARE)
    shorter = [replace(task, messages=turns[:head] + turns[start:]) for start in _starts(turns, head)]
    fitting = bisect_left(shorter, True, key=lambda cut: _fits(cut, engine, work, most))
    return shorter[fitting] if fitting < len(shorter) else task


def _starts(turns: Sequence[Message], head: int) -> list[int]:
    """Where the rest may begin: with what the user says, as templates want it, or after the last of that with a turn
    of the assistant, so that no result is without its call."""
    users = [place for place, turn in enumerate(turns) if turn.role == "user" and place > head]
    last = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=head)
    return users + [place for place, turn in enumerate(turns) if turn.role == "assistant" and place > last]


def _fits(task: FineChat, engine: Engine, work: Cancellable, most: int) -> bool:
    whole = replace(task, trims=False)
    try:
        check_size(whole, engine.card)
        return len(engine.tokenizer.encode(Encoding(task.model, whole), work).tokens) < most
    except InvalidRequest:  # more than is told; or the template does not begin so
        return False
