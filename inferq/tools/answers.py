"""Where answers come from: an engine in a child of this process, or a running gateway. Both give the same events."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from shared.abilities import writes
from shared.cancellation import Cancellation
from shared.card import Ability
from shared.errors import InvalidRequest
from shared.protocol import Chat, Event, TextTask
from worker.engines import Engine


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """The job waits in the queue of a gateway."""

    position: int
    """From 1."""
    wait: str
    """How long about, as the gateway says it; empty where nobody can tell."""


class Answers(Protocol):
    model: str
    """The name that tasks carry."""

    def answer(self, task: TextTask) -> Iterator[Event | QueuePlace]:
        """The events up to `Done`. Raises JobCancelled soon after `cancel`."""

    def cancel(self) -> None:
        """End the answer that is being given; from any thread."""


class EngineAnswers:
    def __init__(self, engine: Engine) -> None:
        self.model = engine.card.id
        if not writes(engine.card):
            raise InvalidRequest(
                f"{self.model} makes vectors or ranks documents, and writes no text: `inferq up {self.model}` serves it"
            )
        self._engine = engine
        self._running = Cancellation()

    def answer(self, task: TextTask) -> Iterator[Event]:
        if isinstance(task, Chat) and Ability.CHAT not in self._engine.card.abilities:
            raise InvalidRequest(f"{self.model} does not say how a conversation becomes a prompt; give --chat-format")
        self._running = Cancellation()
        yield from self._engine.run(task, self._running)

    def cancel(self) -> None:
        self._running.cancel()


@contextmanager
def interruptible(answers: Answers) -> Iterator[None]:
    """Ctrl-C ends the answer that the block reads, and raises JobCancelled there; another one ends the program."""

    def interrupt(*_: Any) -> None:
        signal.signal(signal.SIGINT, before)
        # In a thread of its own: this one may hold any lock.
        threading.Thread(target=answers.cancel, daemon=True).start()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
