"""A whole answer: the fold over a job's events that every format makes its own of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from shared.protocol import Delta, Done, Event, Failed, FinishReason, Progress, StartOver, Usage


@dataclass(frozen=True, slots=True)
class Choice:
    """One finished answer."""

    index: int
    text: str
    finish_reason: FinishReason
    tokens: tuple[int, ...]
    prompt_tokens: tuple[int, ...]


def fold(events: Iterable[Event]) -> tuple[list[Choice], Usage]:
    """The choices of a whole job in the order of their indices, and what it used."""
    deltas: dict[int, list[Delta]] = {}
    used: Usage | None = None
    for event in events:
        match event:
            case Delta():
                deltas.setdefault(event.index, []).append(event)
            case StartOver():
                deltas.clear()
            case Done():
                used = event.usage
            case Progress():
                pass
            case Failed():
                raise AssertionError(f"a failed job has no answer: {event.code}")
            case _:
                assert_never(event)
    if used is None:
        raise AssertionError("the events of a completed job end with Done")
    return [_choice(index, deltas[index]) for index in sorted(deltas)], used


def _choice(index: int, deltas: list[Delta]) -> Choice:
    reason = deltas[-1].finish_reason
    assert reason is not None, "the last piece of a choice says why it ended"
    tokens = tuple(token for delta in deltas for token in delta.tokens)
    return Choice(index, "".join(delta.text for delta in deltas), reason, tokens, deltas[0].prompt_tokens)
