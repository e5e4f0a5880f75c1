"""The vectors of the echo engine: of the words of a text, so that texts with the same words are alike."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from shared.cancellation import NEVER, Cancellable, check
from shared.context import WholeRoom
from shared.protocol import Embedding, Pooled, PoolingTask, Prompt
from worker.engines.echo_answer import TOKEN
from worker.engines.echo_tokenizer import number

EMBEDDING = 64
"""Numbers of a vector."""
DIMENSIONS = (8, 16, 32)
_TOGETHER = 16


class EchoPooler:
    """See `worker.engines.Pooler`. A vector counts a text's words; a document's number, which of the query's it has."""

    width = 256

    def __init__(self, context: int, pause: float = 0.0) -> None:
        """`pause` is how many seconds it takes to read some inputs."""
        self._context = context
        self._pause = pause

    def divide(self, task: PoolingTask, work: Cancellable = NEVER) -> Iterator[range]:
        for start in range(0, task.size, _TOGETHER):
            yield range(start, min(start + _TOGETHER, task.size))

    def pool(self, task: PoolingTask, places: range, work: Cancellable = NEVER) -> Pooled:
        if self._pause:
            self._sleep(work)
        vectors, tokens, query = [], [], list[int]()
        if not isinstance(task, Embedding):
            query = _numbers(task.query)
            WholeRoom(self._context, "query").check(len(query))
        asked = set(query)
        for place in places:
            check(work)
            if isinstance(task, Embedding):
                read = self._fit(_numbers(task.inputs[place]), task, place)
                vector = _count(read)
            else:
                document = self._fit(_numbers(task.documents[place]), task, place, len(query))
                read = query + document
                vector = np.array([len(asked & set(document))], "<f4")
            vectors.append(vector.tobytes())
            tokens.append(len(read))
        return Pooled(places.start, tuple(vectors), tuple(tokens))

    def _sleep(self, work: Cancellable) -> None:
        wakeup = threading.Event()
        work.on_cancel(wakeup.set)
        wakeup.wait(self._pause)
        work.forget(wakeup.set)
        check(work)

    def _fit(self, tokens: list[int], task: PoolingTask, place: int, beside: int = 0) -> list[int]:
        """What is read of an input, `beside` others. Raises ContextLengthExceeded."""
        if task.cut is not None:
            return tokens[: min(task.cut or self._context, self._context - beside)]
        WholeRoom(self._context, task.param(place)).check(len(tokens) + beside)
        return tokens


def _numbers(text: Prompt) -> list[int]:
    return [number(word.strip()) for word in TOKEN.findall(text)] if isinstance(text, str) else list(text)


def _count(tokens: list[int]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    counts = np.bincount(np.array([token % EMBEDDING for token in tokens], int), minlength=EMBEDDING).astype("<f4")
    length = np.linalg.norm(counts)
    return counts / length if length else counts
