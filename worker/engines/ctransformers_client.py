"""The worker's end of the ctransformers host: logits for tokens, and what the host still knows of earlier ones."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from shared.errors import EngineError, HostDied, JobCancelled
from worker.engines.ctransformers_host import BATCH
from worker.engines.host import Cancelled, EngineHost, never

Logits = npt.NDArray[np.float32]


class Evaluator:
    """Evaluates sequences in the host, of one caller at a time."""

    def __init__(self, host: EngineHost, vocabulary_size: int) -> None:
        self._host = host
        self._size = vocabulary_size
        self._known: list[int] = []
        self._life = 0

    @contextlib.contextmanager
    def session(
        self, cancelled: Cancelled = never, on_cancel: Callable[[Callable[[], None]], None] = lambda _: None
    ) -> Iterator[Session]:
        """A connection to the host. Raises HostDied, with the tail of the host's log, when it breaks meanwhile, and
        HostUnavailable when the host cannot be started again.

        Once `cancelled()`, of which `on_cancel` has a callback called, it raises JobCancelled instead.
        """
        connected, life = self._host.connect(cancelled)
        if life != self._life:
            self._known, self._life = [], life
        try:
            with connected as connection:
                on_cancel(partial(_abort, connection))
                with connection.makefile("rb") as answers:
                    with self._host.pulse.awaited():
                        greeting = answers.readline()
                    if not greeting.endswith(b"\n"):
                        raise ConnectionResetError("the host closed the connection")
                    self._host.pulse.beat()
                    context = json.loads(greeting)["context"]
                    exchange = partial(self._exchange, connection, answers)
                    yield Session(exchange, self._known, context, cancelled)
        except OSError as exc:
            self._known = []
            if cancelled():
                raise JobCancelled("cancelled while it ran") from exc
            raise HostDied(self._host.obituary(life)) from exc

    def _exchange(self, connection: socket.socket, answers: BinaryIO, question: bytes) -> Logits:
        """The answer to one question. Raises ConnectionResetError, EngineError."""
        size = np.dtype(np.float32).itemsize * self._size
        with self._host.pulse.awaited():
            connection.sendall(question)
            status = answers.read(1)
            data = answers.read(size) if status == b"\1" else b""
        if status and status != b"\1":
            raise EngineError("ctransformers could not evaluate the tokens")
        if len(data) < size:
            raise ConnectionResetError("the host closed the connection")
        self._host.pulse.beat()
        return np.frombuffer(data, np.float32)


def _abort(connection: socket.socket) -> None:
    """Wake whoever waits for an answer on it; from another thread."""
    with contextlib.suppress(OSError):  # it was closed just now
        connection.shutdown(socket.SHUT_RDWR)


class Session:
    """One sequence after the other. `context` is how many tokens the model can look back on."""

    def __init__(
        self,
        exchange: Callable[[bytes], Logits],
        known: list[int],
        context: int,
        cancelled: Cancelled,
    ) -> None:
        self.context = context
        self._exchange, self._known, self._cancelled = exchange, known, cancelled

    def shared(self, tokens: Sequence[int]) -> int:
        """How many of a sequence's first tokens need not be evaluated: all but the last, at most."""
        most = min(len(tokens) - 1, len(self._known))
        return next((i for i in range(most) if tokens[i] != self._known[i]), most)

    def evaluate(self, tokens: Sequence[int], start: int) -> Iterator[tuple[int, Logits]]:
        """Evaluate `tokens[start:]`, of which those before `start` have been; (tokens done, logits) after each step.

        Raises JobCancelled between two steps.
        """
        for at in range(start, len(tokens), BATCH):
            if self._cancelled():
                raise JobCancelled("cancelled while it ran")
            step = list(tokens[at : at + BATCH])
            del self._known[at:]
            logits = self._exchange(json.dumps({"tokens": step, "past": at}).encode() + b"\n")
            self._known += step
            yield at + len(step), logits
