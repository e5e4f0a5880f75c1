"""The echo engine: answers with what it was told.

It shows the whole path without a model, and its text is known to tests.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
import zlib
from collections.abc import Iterator, Sequence

from shared.cancellation import NEVER, Cancellable, check
from shared.catalogue import Model
from shared.config import Config
from shared.context import Room
from shared.errors import JobCancelled
from shared.protocol import FINE, Chat, Completion, Delta, Done, Event, Progress, TextTask, Usage
from shared.registry import Ability, Card
from worker.engines import with_prompt
from worker.engines.defaults import recommended
from worker.engines.stops import StopStrings, stop_strings
from worker.formats.identity import digest, identity

CONTEXT = 32_768
_TOKEN = re.compile(r"\s*\S+|\s+")


class EchoEngine:
    """A chat is answered with the text of its last user message, a completion with its prompt.

    Where the answer has begun with the same text, it is answered with the rest.

    A token is a word with the white space before it; token ids are taken for words themselves. `config.echo_rate` and
    `config.echo_prefill_ms` make it as slow as a model.
    """

    def __init__(self, model: Model, config: Config) -> None:
        self.card = Card(
            id=model.id,
            engine="echo",
            architecture="echo",
            context=config.context or CONTEXT,
            slots=config.slots,
            created=int(time.time()),
            capabilities=(Ability.COMPLETION, Ability.CHAT),
            digest=digest(identity([], model.id), b""),
            honours=tuple(sorted(FINE)),  # it chooses nothing, and takes whatever there is
            sampling=recommended(model),
        )
        self._interval = 1 / config.echo_rate if config.echo_rate else 0.0
        self._prefill = config.echo_prefill_ms / 1000
        self._continues = bool(config.echo_continue)
        self._seconds = config.max_seconds

    @property
    def trouble(self) -> str:
        return ""

    def continues(self, task: TextTask) -> bool:
        return self._continues

    def run(self, task: TextTask, execution: Cancellable, past: Sequence[Delta] = ()) -> Iterator[Event]:
        wakeup = threading.Event()
        execution.on_cancel(wakeup.set)
        match task:
            case Chat(messages=messages):
                prompt, text = " ".join(m.content for m in messages), _answer(task)
            case Completion(prompt=(given,)):
                prompt = text = given if isinstance(given, str) else " ".join(map(str, given))
            case _:
                raise AssertionError("an engine gets one prompt at a time")
        read = len(_TOKEN.findall(prompt))
        Room(self.card.context, "messages" if isinstance(task, Chat) else "prompt").check(read)
        if self._prefill:
            if not past:
                yield Progress(0, read)
            _sleep(wakeup, self._prefill)
            if not past:
                yield Progress(read, read)

        pieces = self._pieces(task, text, read, past, execution, wakeup)
        ids = given if isinstance(task, Completion) and not isinstance(given, str) else tuple(self.tokenize(prompt))
        yield from with_prompt(pieces, ids) if task.token_ids and not past else pieces

    def _pieces(
        self,
        task: TextTask,
        text: str,
        read: int,
        past: Sequence[Delta],
        execution: Cancellable,
        wakeup: threading.Event,
    ) -> Iterator[Event]:
        until = time.monotonic() + self._seconds
        stops = task.sampling.stop
        words = _TOKEN.findall(_cut(text, stop_strings(tuple(stops)), execution) if stops else text)
        if ends := task.sampling.stop_token_ids:
            words = list(itertools.takewhile(lambda word: _number(word) not in ends, words))
        room = self.card.context - read
        most = min(room, task.sampling.max_tokens or room)
        due = time.monotonic()
        count = sum(len(delta.tokens) for delta in past)
        for word in words[count:most]:
            if time.monotonic() >= until:
                most = count
                break
            check(execution)
            if self._interval:
                due += self._interval
                _sleep(wakeup, due - time.monotonic())
            count += 1
            yield Delta(word, (_number(word),), logprob=0.0)
        yield Delta(finish_reason="length" if len(words) > most else "stop")
        yield Done(Usage(prompt_tokens=read, completion_tokens=min(most, len(words))))

    def tokenize(self, text: str, work: Cancellable = NEVER) -> list[int]:
        return [_number(word) for word in _TOKEN.findall(text)]

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        return " ".join(map(str, tokens)).encode()

    def score(self, tokens: Sequence[int], after: int = 1, work: Cancellable = NEVER) -> list[float]:
        return [0.0 for _ in tokens[after:]]

    def close(self) -> None:
        pass


def _number(word: str) -> int:
    return zlib.crc32(word.encode()) >> 1


def _answer(chat: Chat) -> str:
    text = next((m.content for m in reversed(chat.messages) if m.role == "user"), "")
    return text.removeprefix(chat.messages[-1].content) if chat.continue_final else text


def _cut(text: str, stops: StopStrings, execution: Cancellable) -> str:
    """The text before the first stop string."""
    state = 0
    for token in _TOKEN.finditer(text):
        check(execution)
        state, start = stops.follow(token[0], state)
        if start is not None:
            return text[: token.start() + start]
    return text


def _sleep(wakeup: threading.Event, seconds: float) -> None:
    if wakeup.wait(max(0.0, seconds)):
        raise JobCancelled("The job was cancelled.")
