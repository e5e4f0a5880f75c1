"""The vectors of llama.cpp's models, computed in a host of their own: `llama_cpp_pooling_host.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.cancellation import NEVER, Cancellable
from shared.context import WholeRoom
from shared.errors import InvalidRequest
from shared.protocol import Embedding, Pooled, PoolingTask, Prompt
from worker.engines.llama_cpp_pairs import PairReader
from worker.engines.llama_cpp_pooling_client import PoolingClient
from worker.engines.llama_cpp_text import LARGEST_PART, LlamaText
from worker.engines.pooling_wire import Piece, PooledInput

MOST_TOGETHER = 64
"""Inputs of a part."""
_BYTES = 16_384
"""Of them: some batches, about a second of a small model."""
_TOKEN = 4
"""Bytes that a token counts as."""
_LONGEST_TOKEN = 16
"""Characters: so many for each token of a context are looked at of what may be cut off."""


class LlamaPooler:
    """See `worker.engines.Pooler`. `around` are the tokens before and after a text, `pairs` makes what a model reads
    that ranks, and `size` is how many tokens there are."""

    width = 2
    """So that the host has the next part while what came of the last is sent."""

    def __init__(
        self,
        client: PoolingClient,
        text: LlamaText,
        around: tuple[list[int], list[int]],
        pairs: PairReader,
        *,
        context: int,
        size: int,
        special: bool,
    ) -> None:
        """`special`: the names of special tokens in texts are those."""
        self._client, self._text, self._around, self._pairs = client, text, around, pairs
        self._context, self._size, self._special = context, size, special

    def divide(self, task: PoolingTask, work: Cancellable = NEVER) -> Iterator[range]:
        """All that may be too long is counted before anything is computed."""
        self._check(task, work)
        start, weight = 0, 0
        beside = 0 if isinstance(task, Embedding) else _weigh(task.query)  # is read with each document
        for place in range(task.size):
            own = beside + _weigh(_input(task, place))
            if place > start and (place - start == MOST_TOGETHER or weight + own > _BYTES):
                yield range(start, place)
                start, weight = place, 0
            weight += own
        yield range(start, task.size)

    def pool(self, task: PoolingTask, places: range, work: Cancellable = NEVER) -> Pooled:
        readings = [self._reading(task, place, work) for place in places]
        vectors, counts = self._client.pool(readings, work)
        return Pooled(places.start, tuple(vectors), tuple(counts))

    def _check(self, task: PoolingTask, work: Cancellable) -> None:
        """Raises ContextLengthExceeded for what does not fit, InvalidRequest for what is none of the model's tokens."""
        if not isinstance(task, Embedding):
            room = WholeRoom(self._context, "query")
            room.check(len(self._text.tokens(task.query, work, begins=False, parse_special=False, room=room)))
            room.check(self._client.count([self._pairs.join(task.query, "")], work)[0])
        beside = 0 if isinstance(task, Embedding) else len(task.query.encode()) + self._context // 8
        doubtful: list[tuple[int, PooledInput]] = []
        weight = 0
        for place in range(task.size):
            given = _input(task, place)
            if not isinstance(given, str):
                if (highest := max(given, default=0)) >= self._size:
                    reason = f"{highest} is no token: this model has {self._size}"
                    raise InvalidRequest(reason, param=task.param(place))
                if not given:
                    raise InvalidRequest("an input has to have a token", param=task.param(place))
                if task.cut is None:
                    WholeRoom(self._context, task.param(place)).check(len(given))
            elif task.cut is None and len(given.encode()) + beside > self._context - _TOKEN:
                doubtful.append((place, self._reading(task, place, work)))
                weight += _weigh(given)
            elif not given and isinstance(task, Embedding) and not any(self._around):
                raise InvalidRequest("this model makes nothing of an empty text", param=task.param(place))
            if doubtful and (weight > _BYTES or place == task.size - 1):
                self._count(task, doubtful, work)
                doubtful, weight = [], 0
        if doubtful:
            self._count(task, doubtful, work)

    def _count(self, task: PoolingTask, doubtful: Sequence[tuple[int, PooledInput]], work: Cancellable) -> None:
        counts = self._client.count([reading for _, reading in doubtful], work)
        for (place, _), count in zip(doubtful, counts, strict=True):
            WholeRoom(self._context, task.param(place)).check(count)

    def _reading(self, task: PoolingTask, place: int, work: Cancellable) -> PooledInput:
        cut = None if task.cut is None else task.cut or self._context
        given = _input(task, place)
        if not isinstance(given, str):
            return PooledInput([list(given)], 0, cut)
        if not isinstance(task, Embedding):
            if len(given) <= LARGEST_PART and (
                cut is None or len(given.encode()) + len(task.query.encode()) < cut // 2
            ):
                return self._pairs.join(task.query, given)
            return self._pairs.split(task.query, self._tokens(task, place, given, work), cut)
        before, after = self._around
        own = None if cut is None else max(0, cut - len(before) - len(after))
        piece: Piece = given if len(given) <= LARGEST_PART else self._tokens(task, place, given, work)
        return PooledInput([before, piece, after], 1, own, self._special)

    def _tokens(self, task: PoolingTask, place: int, text: str, work: Cancellable) -> list[int]:
        """Of a large text, which is given to the tokenizer in parts, or only its beginning."""
        room = None if task.cut is not None else WholeRoom(self._context, task.param(place))
        if not room:
            text = text[: max(LARGEST_PART, _LONGEST_TOKEN * self._context)]
        return self._text.tokens(text, work, begins=False, parse_special=self._special, room=room)


def _input(task: PoolingTask, place: int) -> Prompt:
    return task.inputs[place] if isinstance(task, Embedding) else task.documents[place]


def _weigh(given: Prompt) -> int:
    return len(given.encode()) if isinstance(given, str) else _TOKEN * len(given)
