"""The vectors of the echo engine: of the words of a text, so that texts with the same words are alike."""

from __future__ import annotations

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

    def __init__(self, context: int) -> None:
        self._context = context

    def divide(self, task: PoolingTask) -> Iterator[range]:
        for start in range(0, task.size, _TOGETHER):
            yield range(start, min(start + _TOGETHER, task.size))

    def pool(self, task: PoolingTask, places: range, work: Cancellable = NEVER) -> Pooled:
        vectors, tokens = [], []
        for place in places:
            check(work)
            if isinstance(task, Embedding):
                read = _numbers(task.inputs[place])
                WholeRoom(self._context, "input").check(len(read))
                vector = _count(read)
            else:
                query, document = _numbers(task.query), _numbers(task.documents[place])
                read = query + document
                WholeRoom(self._context, "documents").check(len(read))
                vector = np.array([len(set(query) & set(document))], "<f4")
            vectors.append(vector.tobytes())
            tokens.append(len(read))
        return Pooled(places.start, tuple(vectors), tuple(tokens))


def _numbers(text: Prompt) -> list[int]:
    return [number(word.strip()) for word in TOKEN.findall(text)] if isinstance(text, str) else list(text)


def _count(tokens: list[int]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    counts = np.bincount(np.array([token % EMBEDDING for token in tokens], int), minlength=EMBEDDING).astype("<f4")
    length = np.linalg.norm(counts)
    return counts / length if length else counts
