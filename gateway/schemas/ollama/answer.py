"""Answers in Ollama's words, whole and as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, assert_never

from msgspec.structs import replace

from gateway.schemas.answer import fold
from gateway.schemas.format import PAUSE, Frame
from gateway.schemas.logprobs import GrowingArray, tell_tokens
from gateway.schemas.ollama.failure import render_failure
from gateway.schemas.ollama.words import (
    LOAD,
    TURNS,
    Say,
    head,
    tell_call,
    tell_context,
    tell_end,
    tell_likelihoods,
    tell_load,
)
from gateway.schemas.openai import cut, encode
from gateway.schemas.outcomes import failure, outcome
from shared.protocol import (
    Accepted,
    Call,
    Delta,
    Done,
    Event,
    Failed,
    FinishReason,
    Progress,
    StartOver,
    Told,
    Usage,
)

_END = Done(Usage(0, 0))


def render(job_id: str, accepted: Accepted, events: Iterable[Event], say: Say) -> dict[str, Any]:
    """`Format.render`"""
    if LOAD in accepted.options.asked:
        deque(events, maxlen=0)
        return {**head(accepted), **say("", "", ()), **tell_load(accepted)}
    beside, hides = _Beside(), accepted.options.hides_reasoning
    [choice], _ = fold(beside.noted(_told(events, hides=hides)))
    calls = [tell_call(job_id, call, arguments) for call, arguments in choice.calls]
    return {
        **head(accepted),
        **say(choice.text, choice.thoughts, calls),
        **({"logprobs": beside.logprobs.take()} if beside.logprobs else {}),
        **tell_end(choice.finish_reason, beside.done, accepted),
        **tell_context(accepted, choice.text),
    }


def _told(events: Iterable[Event], *, hides: bool) -> Iterator[Event]:
    """The events, without what thoughts say where they are told nowhere."""
    for event in events:
        if hides and isinstance(event, Delta) and event.reasoning:
            event = replace(event, text="", logprobs=())
        yield event


class _Beside:
    """What a whole answer tells beside its text."""

    def __init__(self) -> None:
        self.logprobs = GrowingArray()
        self.done = _END

    def noted(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            match event:
                case Delta():
                    for told in tell_tokens(event.logprobs, as_ids=False):
                        self.logprobs.add(told)
                case StartOver():
                    self.logprobs.take()
                case Done():
                    self.done = event
            yield event


class AnswerStream:
    """The frames of one stream: an object each."""

    def __init__(self, job_id: str, accepted: Accepted, parameters: Mapping[str, str], say: Say) -> None:
        """For `parameters` see `Format.parameters`."""
        self._job_id, self._accepted, self._parameters, self._say = job_id, accepted, parameters, say
        self._reason: FinishReason | None = None
        self._call: Call | None = None
        self._text = bytearray() if TURNS in accepted.options.asked else None
        """All of it, where the end tells it again."""
        self._arguments = bytearray()
        """Of that call, as far as they have come: a call is told when it is whole."""
        self._speakers: dict[bool, Callable[[str], bytes]] = {
            False: cut(lambda text: self._object(text)),
            True: cut(lambda text: self._object(thoughts=text)),
        }
        """What makes an object of a piece of text, by whether it is of the thoughts."""

    def frames(self, event: Event) -> Iterator[Frame]:
        match event:
            case Progress() | Told():
                pass
            case Delta():
                yield from self._tell(event)
            case Done():
                yield from self._close()
                yield Frame(encode(self._end(event)))
            case Failed():
                error = failure(event, self._parameters)
                yield Frame(encode(render_failure(error, outcome(error.code).status)))
            case StartOver():
                raise AssertionError("nothing is taken back of what is read as it comes")
            case _:
                assert_never(event)

    def _tell(self, piece: Delta) -> Iterator[Frame]:
        if piece is PAUSE:
            yield Frame(encode(self._object()))
            return
        self._reason = piece.finish_reason
        if piece.reasoning and self._accepted.options.hides_reasoning:
            return
        if piece.call != self._call:
            yield from self._close()
            self._call = piece.call
        if piece.call:
            self._arguments += piece.text.encode()
            text = ""
        else:
            text = piece.text
            if self._text is not None and not piece.reasoning:
                self._text += text.encode()
        if piece.logprobs:
            thoughts, content = (text, "") if piece.reasoning else ("", text)
            yield Frame(encode(self._object(content, thoughts, **tell_likelihoods(piece.logprobs))))
        elif text:
            yield Frame(self._speakers[piece.reasoning](text))

    def _close(self) -> Iterator[Frame]:
        """The call that has come, if one has."""
        if self._call:
            told = tell_call(self._job_id, self._call, self._arguments.decode())
            self._call, self._arguments = None, bytearray()
            yield Frame(encode({**head(self._accepted), **self._say("", "", [told]), "done": False}))

    def _object(self, content: str = "", thoughts: str = "", **more: Any) -> dict[str, Any]:
        return {**head(self._accepted), **self._say(content, thoughts, ()), "done": False, **more}

    def _end(self, done: Done) -> dict[str, Any]:
        if LOAD in self._accepted.options.asked:
            told = tell_load(self._accepted)
        else:
            told = tell_end(self._reason, done, self._accepted)
            told |= tell_context(self._accepted, (self._text or b"").decode())
        return {**head(self._accepted), **self._say("", "", ()), **told}
