"""The echo engine: answers with what it was told.

It shows the whole path without a model, and its text is known to tests.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from shared.cancellation import NEVER, Cancellable, check
from shared.card import Ability, Card
from shared.catalogue import Model
from shared.config import Config
from shared.context import Room
from shared.errors import JobCancelled
from shared.protocol import (
    FINE,
    Delta,
    Done,
    Event,
    FineChat,
    FineCompletion,
    FinishReason,
    Progress,
    TextTask,
    Usage,
)
from worker.engines import with_prompt
from worker.engines.defaults import recommended
from worker.engines.echo_answer import TOKEN, answer
from worker.engines.echo_logprobs import EchoScorer, judge, read_prompt
from worker.engines.echo_memory import EchoMemory
from worker.engines.echo_pooling import DIMENSIONS, EMBEDDING, EchoPooler
from worker.engines.echo_tokenizer import EchoTokenizer, number
from worker.engines.gaps import fill
from worker.engines.stops import stop_strings
from worker.formats.identity import digest, identity

CONTEXT = 32_768


class EchoEngine:
    """A chat is answered with the text of its last user message, a completion with its prompt. It can be told to call
    tools, to think and to write JSON: see `echo_answer`.

    Where the answer has begun with the same text, it is answered with the rest.

    A token is a word with the white space before it, and the name of a tool that is called; token ids are taken for
    words themselves. `config.echo_rate`, `config.echo_prefill_ms` and `config.echo_read_rate` make it as slow as a
    model.
    """

    def __init__(self, model: Model, config: Config) -> None:
        self.pace = dict[str, int]()
        self.card = Card(
            id=model.id,
            engine="echo",
            architecture="echo",
            context=config.context or CONTEXT,
            slots=config.slots,
            created=int(time.time()),
            capabilities=tuple(Ability),
            digest=digest(identity([], model.id), b""),
            honours=tuple(sorted(FINE)),  # it chooses nothing, and takes whatever there is
            embedding=EMBEDDING,
            dimensions=DIMENSIONS,
            sampling=recommended(model),
        )
        self._interval = 1 / config.echo_rate if config.echo_rate else 0.0
        self._prefill = config.echo_prefill_ms / 1000
        self._read_rate = config.echo_read_rate
        self._memory = EchoMemory(config.slots)
        self._continues = bool(config.echo_continue)
        self._seconds = config.max_seconds

    @property
    def trouble(self) -> str:
        return ""

    @property
    def stale(self) -> bool:
        return False

    def continues(self, task: TextTask) -> bool:
        bound = task.sampling.grammar or (isinstance(task, FineChat) and task.tools)
        return self._continues and not bound  # as of a model, whose grammar cannot be advanced

    @property
    def scorer(self) -> EchoScorer:
        return EchoScorer(self.card.context)

    @property
    def pooler(self) -> EchoPooler:
        return EchoPooler(self.card.context, self._prefill)

    @property
    def tokenizer(self) -> EchoTokenizer:
        return EchoTokenizer(self.card.context)

    def run(self, task: TextTask, execution: Cancellable, past: Sequence[Delta] = ()) -> Iterator[Event]:
        wakeup = threading.Event()
        execution.on_cancel(wakeup.set)
        param, words, numbers = read_prompt(task)
        gap = task if isinstance(task, FineCompletion) and task.suffix is not None else None
        read = len(words)
        if gap and gap.trims:
            read = min(read, self.card.context // 2)
        Room(self.card.context, param).check(read)
        parts = answer(task)
        texts = [word.strip() for word in words] if self._read_rate else []
        cached = self._memory.read(texts) if self._read_rate else 0
        pause = self._prefill + ((read - cached) / self._read_rate if self._read_rate else 0)
        if pause:
            if not past:
                yield Progress(0, read)
            _sleep(wakeup, pause)
            if not past:
                yield Progress(read, read)

        pieces = self._pieces(task, parts, Usage(read, 0, cached), past, execution, wakeup)
        if gap:
            pieces = fill(pieces, gap, past, lambda count: Done(Usage(read, count, cached)), trimmed=read < len(words))
        yield from pieces if past else with_prompt(pieces, numbers[:read], ids=task.token_ids)
        if self._read_rate:
            self._memory.keep([*texts, *(word for part in parts for word in part.text.split())])

    def _pieces(
        self,
        task: TextTask,
        parts: Sequence[Delta],
        prompt: Usage,
        past: Sequence[Delta],
        execution: Cancellable,
        wakeup: threading.Event,
    ) -> Iterator[Event]:
        until = time.monotonic() + self._seconds
        stop, most_tops = "", task.sampling.logprobs
        if stops := task.sampling.stop:
            parts, stop = _cut(parts, stops, execution)
        words = [(word, part) for part in parts for word in _words(part)]
        if ends := task.sampling.stop_token_ids:
            words = list(itertools.takewhile(lambda said: _number(*said) not in ends, words))
        room = self.card.context - prompt.prompt_tokens
        most = room if task.sampling.max_tokens is None else min(room, task.sampling.max_tokens)
        due = time.monotonic()
        count = sum(len(delta.tokens) for delta in past)
        for word, part in words[count:most]:
            if time.monotonic() >= until:
                most = count
                break
            check(execution)
            if self._interval:
                due += self._interval
                _sleep(wakeup, due - time.monotonic())
            number = _number(word, part)
            likely = () if most_tops is None else (judge(number, word, prompt.prompt_tokens + count, most_tops),)
            count += 1
            yield Delta(word, (number,), reasoning=part.reasoning, call=part.call, logprobs=likely)
        calls = any(part.call for _, part in words)
        reason: FinishReason = "length" if len(words) > most else "tool_calls" if calls else "stop"
        yield Delta(finish_reason=reason, stop=stop if reason == "stop" else "")
        thoughts = sum(part.reasoning for _, part in words[:most])
        yield Done(replace(prompt, completion_tokens=min(most, len(words)), reasoning_tokens=thoughts))

    def tokenize(self, text: str, work: Cancellable = NEVER) -> list[int]:
        return list(map(number, TOKEN.findall(text)))

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        return " ".join(map(str, tokens)).encode()

    def close(self) -> None:
        pass


def _words(part: Delta) -> list[str]:
    """The text of each token. A call begins with one that has none."""
    words = TOKEN.findall(part.text)
    return ["", *words] if part.call else words


def _number(word: str, part: Delta) -> int:
    named = part.call.name if part.call and not word else word
    return number(named)


def _cut(parts: Sequence[Delta], stops: tuple[str, ...], execution: Cancellable) -> tuple[list[Delta], str]:
    """What comes before the first stop string, and which that is; none is looked for in thoughts and in calls."""
    automaton, before = stop_strings(stops), list[Delta]()
    for part in parts:
        state = 0
        for token in TOKEN.finditer("" if part.reasoning or part.call else part.text):
            check(execution)
            state, start = automaton.follow(token[0], state)
            if start is not None:
                text = part.text[: token.start() + start]
                return [*before, replace(part, text=text)], automaton.ended(state)
        before.append(part)
    return before, ""


def _sleep(wakeup: threading.Event, seconds: float) -> None:
    if wakeup.wait(max(0.0, seconds)):
        raise JobCancelled("The job was cancelled.")
