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

from shared.cancellation import NEVER, Cancellable, aborting, check
from shared.errors import EngineError, HostDied
from shared.protocol import Caching
from worker.engines.ctransformers_host import BATCH
from worker.engines.host import EngineHost

Logits = npt.NDArray[np.float32]
LONGEST_GREETING = 1024
"""Bytes of what the host says first."""


class Evaluator:
    """Evaluates sequences in the host, of one caller at a time."""

    def __init__(self, host: EngineHost, vocabulary_size: int) -> None:
        self._host = host
        self._size = vocabulary_size
        self._known: list[int] = []
        self._life = 0
        self._whose: Caching | None = None

    @contextlib.contextmanager
    def open(self, work: Cancellable = NEVER, whose: Caching | None = None) -> Iterator[Evaluation]:
        """A connection to the host, which knows nothing of what was evaluated for others; None: of anything.

        Raises HostDied, with the tail of the host's log, when it breaks meanwhile, and HostUnavailable when the host
        cannot be started again. Once `work` is cancelled it raises JobCancelled instead.
        """
        connected, life = self._host.connect(work)
        if life != self._life or whose is None or whose != self._whose:
            self._known, self._life, self._whose = [], life, whose
        try:
            with connected as connection, aborting(connection, work), connection.makefile("rb") as answers:
                with self._host.pulse.expect():
                    greeting = answers.readline(LONGEST_GREETING)
                if not greeting.endswith(b"\n"):
                    raise ConnectionResetError("the host closed the connection")
                self._host.pulse.beat()
                context = json.loads(greeting)["context"]
                exchange = partial(self._exchange, connection, answers)
                yield Evaluation(exchange, self._known, context, work)
        except OSError as exc:
            self._known = []
            check(work)
            raise HostDied(self._host.obituary(life)) from exc

    def _exchange(self, connection: socket.socket, answers: BinaryIO, question: bytes) -> Logits:
        """The answer to one question. Raises ConnectionResetError, EngineError."""
        size = np.dtype(np.float32).itemsize * self._size
        with self._host.pulse.expect():
            connection.sendall(question)
            status = answers.read(1)
            data = answers.read(size) if status == b"\1" else b""
        if status and status != b"\1":
            raise EngineError("ctransformers could not evaluate the tokens")
        if len(data) < size:
            raise ConnectionResetError("the host closed the connection")
        self._host.pulse.beat()
        return np.frombuffer(data, np.float32)


class Evaluation:
    """One sequence after the other. `context` is how many tokens the model can look back on."""

    def __init__(
        self,
        exchange: Callable[[bytes], Logits],
        known: list[int],
        context: int,
        work: Cancellable,
    ) -> None:
        self.context = context
        self._exchange, self._known, self._work = exchange, known, work

    def count_known(self, tokens: Sequence[int]) -> int:
        """How many of a sequence's first tokens need not be evaluated: all but the last, at most."""
        most = min(len(tokens) - 1, len(self._known))
        return next((i for i in range(most) if tokens[i] != self._known[i]), most)

    def evaluate(self, tokens: Sequence[int], start: int) -> Iterator[tuple[int, Logits]]:
        """Evaluate `tokens[start:]`, of which those before `start` have been; (tokens done, logits) after each step.

        Raises JobCancelled between two steps.
        """
        for at in range(start, len(tokens), BATCH):
            check(self._work)
            step = list(tokens[at : at + BATCH])
            del self._known[at:]
            logits = self._exchange(json.dumps({"tokens": step, "past": at}).encode() + b"\n")
            self._known += step
            yield at + len(step), logits
