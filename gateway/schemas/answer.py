"""What the answers of chat and completions have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, assert_never

from shared.protocol import Accepted, Delta, Done, Event, Failed, FinishReason, Progress, Usage


@dataclass(frozen=True, slots=True)
class Choice:
    """One finished answer."""

    index: int
    text: str
    finish_reason: FinishReason


def pieces(events: Iterable[Event]) -> Iterator[Delta | Done]:
    """The events that an answer is made of."""
    for event in events:
        match event:
            case Delta() | Done():
                yield event
            case Progress():
                pass
            case Failed():
                raise AssertionError(f"a failed job has no answer: {event.code}")
            case _:
                assert_never(event)


def fold(events: Iterable[Event]) -> tuple[list[Choice], Usage]:
    """The choices of a whole job in the order of their indices, and what it used."""
    texts: dict[int, list[str]] = {}
    reasons: dict[int, FinishReason] = {}
    used: Usage | None = None
    for event in pieces(events):
        match event:
            case Delta():
                texts.setdefault(event.index, []).append(event.text)
                if event.finish_reason is not None:
                    reasons[event.index] = event.finish_reason
            case Done():
                used = event.usage
            case _:
                assert_never(event)
    if used is None:
        raise AssertionError("the events of a completed job end with Done")
    return [Choice(index, "".join(texts[index]), reasons[index]) for index in sorted(texts)], used


def head(job_id: str, accepted: Accepted, kind: str) -> dict[str, Any]:
    """What an answer and each of its chunks begin with."""
    return {"id": job_id, "object": kind, "created": accepted.created, "model": accepted.task.model}


def usage(used: Usage) -> dict[str, Any]:
    """OpenAI's usage object, as far as the engine knows."""
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
    }
