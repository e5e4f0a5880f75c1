"""The echo engine: answers with what it was told.

It shows the whole path without a model, and its text is known to tests.
"""

from __future__ import annotations

import re
import threading
import time
import zlib
from collections.abc import Iterator, Sequence

from shared.catalogue import Model
from shared.config import Config
from shared.errors import ContextLengthExceeded, JobCancelled
from shared.protocol import Chat, Completion, Delta, Done, Event, Progress, Task, Usage
from shared.registry import Card
from worker.engines import Execution

CONTEXT = 32_768
_TOKEN = re.compile(r"\s*\S+|\s+")


class EchoEngine:
    """A chat is answered with the text of its last user message, a completion with its prompt.

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
            capabilities=("completion", "chat", *(("continue",) if config.echo_continue else ())),
        )
        self._interval = 1 / config.echo_rate if config.echo_rate else 0.0
        self._prefill = config.echo_prefill_ms / 1000

    @property
    def trouble(self) -> str:
        return ""

    def run(self, task: Task, execution: Execution, past: Sequence[Delta] = ()) -> Iterator[Event]:
        wakeup = threading.Event()
        execution.on_cancel(wakeup.set)
        match task:
            case Chat(messages=messages):
                prompt, text = " ".join(m.content for m in messages), _last_user_message(task)
            case Completion(prompt=(given,)):
                prompt = text = given if isinstance(given, str) else " ".join(map(str, given))
            case _:
                raise AssertionError("an engine gets one prompt at a time")
        read = len(_TOKEN.findall(prompt))
        if read >= self.card.context:
            raise ContextLengthExceeded(
                read, self.card.context, param="messages" if isinstance(task, Chat) else "prompt"
            )
        if self._prefill:
            if not past:
                yield Progress(0, read)
            _sleep(wakeup, self._prefill)
            if not past:
                yield Progress(read, read)

        words = _TOKEN.findall(_until(text, task.sampling.stop))
        room = self.card.context - read
        most = min(room, task.sampling.max_tokens or room)
        due = time.monotonic()
        for word in words[sum(len(delta.tokens) for delta in past) : most]:
            if self._interval:
                due += self._interval
                _sleep(wakeup, due - time.monotonic())
            yield Delta(word, (zlib.crc32(word.encode()) >> 1,), logprob=0.0)
        yield Delta(finish_reason="length" if len(words) > most else "stop")
        yield Done(Usage(prompt_tokens=read, completion_tokens=min(most, len(words))))

    def close(self) -> None:
        pass


def _last_user_message(chat: Chat) -> str:
    return next((m.content for m in reversed(chat.messages) if m.role == "user"), "")


def _until(text: str, stop: tuple[str, ...]) -> str:
    ends = [at for at in (text.find(s) for s in stop) if at >= 0]
    return text[: min(ends)] if ends else text


def _sleep(wakeup: threading.Event, seconds: float) -> None:
    if wakeup.wait(max(0.0, seconds)):
        raise JobCancelled("The job was cancelled.")
