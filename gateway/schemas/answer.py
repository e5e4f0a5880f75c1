"""A whole answer: the fold over a job's events that every format makes its own of."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import assert_never

from msgspec.structs import replace

from shared.protocol import Call, Delta, Done, Event, Failed, FinishReason, Progress, StartOver, Told, Usage


@dataclass(frozen=True, slots=True)
class Choice:
    """One finished answer."""

    index: int
    text: str
    finish_reason: FinishReason
    tokens: Sequence[int]
    prompt_tokens: tuple[int, ...]
    thoughts: str = ""
    calls: Sequence[tuple[Call, str]] = ()
    """Each with its arguments, in the order of their indices."""
    stop: str = ""
    """The stop string that has ended it."""
    prompt_text: str = ""
    """Of its prompt, which is repeated before it."""


class _Growing:
    """What has come of one answer, in little more memory than its text and its tokens take as bytes."""

    def __init__(self, first: Delta) -> None:
        self.prompt_tokens, self.prompt_text = first.prompt_tokens, first.prompt_text
        self.reason: FinishReason | None = None
        self.stop = ""
        self._text, self._thoughts = bytearray(), bytearray()
        self._calls = dict[int, tuple[Call, bytearray]]()
        self._tokens = array("q")

    def add(self, delta: Delta) -> None:
        part = self._thoughts if delta.reasoning else self._text if delta.call is None else self._call(delta.call)
        part += delta.text.encode()
        self._tokens.extend(delta.tokens)
        self.reason, self.stop = delta.finish_reason, delta.stop

    def end(self, index: int) -> Choice:
        assert self.reason is not None, "the last piece of a choice says why it ended"
        calls = [(call, text.decode()) for _, (call, text) in sorted(self._calls.items())]
        text, thoughts = self._text.decode(), self._thoughts.decode()
        told = self._tokens, self.prompt_tokens, thoughts, calls, self.stop, self.prompt_text
        return Choice(index, text, self.reason, *told)

    def _call(self, call: Call) -> bytearray:
        if call.index not in self._calls:
            self._calls[call.index] = call, bytearray()
        return self._calls[call.index][1]


def fold(events: Iterable[Event]) -> tuple[list[Choice], Usage]:
    """The choices of a whole job in the order of their indices, and what it used. No event is kept."""
    growing: dict[int, _Growing] = {}
    used: Usage | None = None
    for event in events:
        match event:
            case Delta():
                if event.index not in growing:
                    growing[event.index] = _Growing(event)
                growing[event.index].add(event)
            case StartOver():
                growing.clear()
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
    if used is None:
        raise AssertionError("the events of a completed job end with Done")
    return [growing.pop(index).end(index) for index in sorted(growing)], used


def condense(events: Iterable[Event]) -> list[Event]:
    """Few events that say the same of a whole answer as these: what comes of one part of a choice is one piece."""
    runs: dict[int, list[list[Delta]]] = {}
    rest = list[Event]()
    for event in events:
        match event:
            case Delta():
                choice = runs.setdefault(event.index, [])
                if choice and choice[-1][0].channel == event.channel:
                    choice[-1].append(event)
                else:
                    choice.append([event])
            case StartOver():
                runs.clear()
            case Progress():
                pass
            case _:
                rest.append(event)
    return [*(_join(run) for _, choice in sorted(runs.items()) for run in choice), *rest]


def _join(run: Sequence[Delta]) -> Delta:
    """Pieces that follow one another as one."""
    last = run[-1]
    return replace(
        run[0],
        text="".join(piece.text for piece in run),
        tokens=tuple(chain.from_iterable(piece.tokens for piece in run)),
        logprobs=tuple(chain.from_iterable(piece.logprobs for piece in run)),
        prompt_logprobs=tuple(chain.from_iterable(piece.prompt_logprobs for piece in run)),
        finish_reason=last.finish_reason,
        usage=last.usage,
        stop=last.stop,
    )
