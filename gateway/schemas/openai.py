"""What OpenAI's formats have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, assert_never

from msgspec.json import Encoder

from gateway.schemas.format import Format, Frame, Frames
from gateway.schemas.outcomes import failure, outcome
from shared.errors import InferqError
from shared.protocol import (
    Accepted,
    Delta,
    Done,
    Event,
    Failed,
    Options,
    Progress,
    StartOver,
    Task,
    TextTask,
    Told,
    Usage,
)

_encode = Encoder().encode
_BREAKS = [(mark.encode(), b"\\u%04x" % ord(mark)) for mark in "\x85\u2028\u2029"]
"""What JSON leaves as it is, and Python's `str.splitlines` takes for the end of a line, and so httpx's `iter_lines`."""

END = Frame(b"[DONE]", counts=False)
"""The last one of a stream that ends well."""
_OTHER_TOKENS = ("audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens")
"""What OpenAI counts among those of an answer, and no answer here has. Some clients add them up."""
NOTHING_TOLD: Mapping[str, Any] = MappingProxyType({})
"""Beside its text, of a piece."""
_GAP = "\0"
"""Stands for the text of a chunk while the chunk is cut around it."""


def encode(value: object) -> bytes:
    """JSON in what everybody takes for one line."""
    blob = _encode(value)
    if not blob.isascii():
        for mark, escaped in _BREAKS:  # as bytes they are nothing else in UTF-8, and stand only in strings
            blob = blob.replace(mark, escaped)
    return blob


def render_frames(
    wire: Format, say: Callable[[Delta], Iterable[bytes]], so_far: UsageSoFar, closing: dict[str, Any] | None = None
) -> Frames:
    """`Format.render_frames`: `say` makes the chunks of a piece; `closing`, if any, comes last, and gets the usage."""

    def frames(event: Event) -> Iterable[Frame]:
        match event:
            case Delta():
                return map(Frame, say(event))
            case Progress():
                so_far.note(event)
                return ()
            case Done() if closing is not None:
                return Frame(encode({**closing, "usage": usage(event.usage)})), END
            case Done():
                return (END,)
            case Failed():
                error = failure(event, wire.parameters)
                return (Frame(encode(wire.render_failure(error, outcome(error.code).status))),)
            case Told():
                raise AssertionError("these are no parts of a text")
            case StartOver():
                raise AssertionError("nothing is taken back of what is read as it comes")
            case _:
                assert_never(event)

    return frames


def render_failure(error: InferqError, status: int) -> dict[str, Any]:
    """`Format.render_failure`: OpenAI's error object."""
    kind = "rate_limit_error" if status == 429 else "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}


class UsageSoFar:
    """What the chunks of a stream say of the usage: nothing; null, where it comes at the end; or, with vLLM's
    `continuous_usage_stats`, what their choice has used so far. Of the prompt that is 0 until the first
    piece tells it, or its progress."""

    def __init__(self, options: Options, prompts: int) -> None:
        self.continuous = options.continuous_usage
        self._usually = {"usage": None} if options.include_usage else {}
        self._one = prompts == 1
        self._prompt = 0
        self._completion = Counter[int]()

    def note(self, event: Event) -> None:
        if not self.continuous:
            return
        match event:
            case Progress() if self._one and not self._prompt:
                self._prompt = event.total  # later ones may be of several choices, which read the same prompt
            case Delta(usage=Usage() as used):
                self._prompt = used.prompt_tokens if self._one else 0
                self._completion[event.index] = used.completion_tokens
            case Delta():
                self._prompt = (event.prompt_size if self._one else 0) or self._prompt
                self._completion[event.index] += len(event.tokens)

    def of(self, index: int) -> dict[str, Any]:
        """To be merged into a chunk of this choice."""
        if not self.continuous:
            return self._usually
        prompt, completion = self._prompt, self._completion[index]
        told = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return {"usage": told}


def announcer(choices: int) -> Callable[[int], Iterable[int]]:
    """Tells before a piece of a choice which ones are to be announced, of so many: it, and those before it.

    Each once, and in the order of their indices: clients make room for a choice where they first meet it.
    """
    announced = 0

    def announce(index: int) -> Iterable[int]:
        nonlocal announced
        if index < announced:
            return ()
        new = range(announced, min(index + 1, choices))
        announced = max(announced, index + 1)
        return new

    return announce


def cut(chunk: Callable[[str], dict[str, Any]]) -> Callable[[str], bytes]:
    """The same chunk as JSON. What stands around its text, which is the same for a whole stream, is written once.

    Nothing may come after the text that others have chosen.
    """
    head, _, tail = encode(chunk(_GAP)).rpartition(encode(_GAP))
    return lambda text: head + encode(text) + tail


def head(job_id: str, accepted: Accepted, kind: str) -> dict[str, Any]:
    """What an answer and each of its chunks begin with."""
    return {
        "id": job_id,
        "object": kind,
        "created": accepted.created,
        "model": accepted.task.model,
        "service_tier": accepted.options.tier,
        "system_fingerprint": accepted.fingerprint or None,
    }


def token_ids(task: Task, tokens: Iterable[int]) -> dict[str, Any]:
    """What a choice says of its tokens: nothing, unless the task wants it."""
    return {"token_ids": list(tokens)} if isinstance(task, TextTask) and task.token_ids else {}


def prompt_token_ids(tokens: tuple[int, ...]) -> dict[str, Any]:
    """What an answer or a choice says of its prompt's tokens: nothing where they were not told."""
    return {"prompt_token_ids": list(tokens)} if tokens else {}


def usage(used: Usage) -> dict[str, Any]:
    """OpenAI's usage object, as far as the engine knows."""
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens, **dict.fromkeys(_OTHER_TOKENS, 0)},
    }
