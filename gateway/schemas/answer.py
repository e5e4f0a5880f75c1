"""What the answers of chat and completions have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, assert_never

from shared.protocol import Accepted, Delta, Done, Event, Failed, FinishReason, Progress, StartOver, Task, Usage


@dataclass(frozen=True, slots=True)
class Choice:
    """One finished answer."""

    index: int
    text: str
    finish_reason: FinishReason
    tokens: tuple[int, ...]
    prompt_tokens: tuple[int, ...]


def pieces(events: Iterable[Event]) -> Iterator[Delta | StartOver | Done]:
    """The events that an answer is made of."""
    for event in events:
        match event:
            case Delta() | StartOver() | Done():
                yield event
            case Progress():
                pass
            case Failed():
                raise AssertionError(f"a failed job has no answer: {event.code}")
            case _:
                assert_never(event)


def fold(events: Iterable[Event]) -> tuple[list[Choice], Usage]:
    """The choices of a whole job in the order of their indices, and what it used."""
    deltas: dict[int, list[Delta]] = {}
    used: Usage | None = None
    for event in pieces(events):
        match event:
            case Delta():
                deltas.setdefault(event.index, []).append(event)
            case StartOver():
                deltas.clear()
            case Done():
                used = event.usage
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


def token_ids(task: Task, tokens: Iterable[int]) -> dict[str, Any]:
    """What a choice says of its tokens: nothing, unless the task wants it."""
    return {"token_ids": list(tokens)} if task.token_ids else {}


def prompt_token_ids(tokens: tuple[int, ...]) -> dict[str, Any]:
    """What an answer or a choice says of its prompt's tokens: nothing where they were not told."""
    return {"prompt_token_ids": list(tokens)} if tokens else {}


def head(job_id: str, accepted: Accepted, kind: str) -> dict[str, Any]:
    """What an answer and each of its chunks begin with."""
    return {
        "id": job_id,
        "object": kind,
        "created": accepted.created,
        "model": accepted.task.model,
        "service_tier": accepted.tier,
    }


def usage(used: Usage) -> dict[str, Any]:
    """OpenAI's usage object, as far as the engine knows."""
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
    }
