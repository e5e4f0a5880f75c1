"""What is told of a prompt: its text, and how likely its tokens are. Once for all choices that answer it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from msgspec.structs import replace

from shared.cancellation import Cancellable, check
from shared.protocol import Completion, Delta, Done, Event, FineCompletion, Sampling, TextTask, TokenLogprob, Usage
from worker.choices import AT_ONCE
from worker.engines import Engine
from worker.engines.stops import Letters


class Prompt:
    """The prompt of a task with one choice. Several slots may ask for it; the first of them computes."""

    def __init__(self, engine: Engine, task: TextTask) -> None:
        self._engine, self._task = engine, task
        sampling = task.sampling
        self._echoes = isinstance(task, FineCompletion) and task.echo
        self._most = sampling.prompt_logprobs
        gap = isinstance(task, FineCompletion) and task.suffix is not None  # its prompt is read for others to come
        self._alone = sampling.max_tokens == 0 and not gap
        self._goes_on = self._most is not None and _takes_the_likeliest(task)
        self._lock = threading.Lock()
        self._read_before = False
        self._text = ""
        self._tokens: list[int] = []
        self._scores: tuple[TokenLogprob, ...] = ()
        self._next: TokenLogprob | None = None

    @property
    def told(self) -> bool:
        """Whether anything is to be told of it."""
        return self._echoes or self._most is not None

    def pieces(self, work: Cancellable, told: int = -1) -> Iterator[Delta]:
        """What is told of it, but for the tokens that have been, and for its text if any have; -1: nothing has been.

        Raises what the engine raises.
        """
        self._read(work)
        size = len(self._tokens)
        first = Delta(prompt_text=self._text, prompt_tokens=self._ids, prompt_size=size) if told < 0 else Delta()
        if told < 0 and not self._scores:
            yield first
        each = max(1, AT_ONCE // (1 + (self._most or 0)))
        for start in range(max(told, 0), len(self._scores), each):
            yield replace(first, prompt_logprobs=self._scores[start : start + each])
            first = Delta()

    @property
    def _ids(self) -> tuple[int, ...]:
        return tuple(self._tokens) if self._task.token_ids else ()

    def answer(self, work: Cancellable) -> Iterator[Event] | None:
        """The whole answer, where that is known once the prompt has been read; else None."""
        if not (self._alone or self._goes_on):
            return None
        self._read(work)
        if self._alone:
            piece = Delta(finish_reason="length", prompt_tokens=self._ids)
            return _ending(piece, Usage(len(self._tokens), 0))
        if self._next is None:
            return None
        likely, most = self._next, self._task.sampling.logprobs
        logprobs = () if most is None else (replace(likely, top=likely.top[:most]),)
        piece = Delta(Letters().read(likely.text), (likely.token,), finish_reason="length", logprobs=logprobs)
        return _ending(piece, Usage(len(self._tokens), 1))

    def _read(self, work: Cancellable) -> None:
        with self._lock:
            check(work)
            if self._read_before:
                return
            # Whatever is told of it: what cannot be read is refused before any of it is.
            self._tokens = self._engine.scorer.read(self._task, work)
            self._text = self._spell() if self._echoes else ""
            if self._most is not None:
                top = max(self._most, (self._task.sampling.logprobs or 0) if self._goes_on else 0)
                found = self._engine.scorer.score_prompt(self._task, self._tokens, work, top, further=self._goes_on)
                scores = list(found)
                self._scores = tuple(replace(each, top=each.top[: self._most]) for each in scores[: len(self._tokens)])
                self._next = scores[len(self._tokens)] if len(scores) > len(self._tokens) else None
            self._read_before = True

    def _spell(self) -> str:
        assert isinstance(self._task, Completion)
        (given,) = self._task.prompt
        return given if isinstance(given, str) else self._engine.detokenize(given).decode(errors="replace")


def _ending(piece: Delta, usage: Usage) -> Iterator[Event]:
    yield piece
    yield Done(usage)


def _takes_the_likeliest(task: TextTask) -> bool:
    """Whether the answer is the one token that is the likeliest to come next, whatever else may hold."""
    if not isinstance(task, Completion) or (isinstance(task, FineCompletion) and task.suffix is not None):
        return False
    sampling = task.sampling
    plain = Sampling(sampling.seed, max_tokens=1, temperature=0.0)
    free = {"logprobs", "prompt_logprobs", "cache_prompt", "caching"}
    return all(getattr(sampling, name) == getattr(plain, name) for name in plain.__struct_fields__ if name not in free)
