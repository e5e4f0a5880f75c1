"""The runner of tasks that are answered with vectors: their parts are some inputs each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from msgspec.structs import replace

from shared import streams
from shared.context import check_size
from shared.parameters import check_parameters
from shared.protocol import Done, Embedding, Pooled, PoolingTask, Usage
from worker.run import Runner


class PoolingRunner(Runner[range]):
    """The computation of an `Embedding` or a `Reranking`: each part is told in one event."""

    _whole: Pooled | None = None
    """The only part, which is told with the end: that is one entry less for all who relay it."""

    @cached_property
    def _task(self) -> PoolingTask:
        task = self.execution.accepted.task
        assert isinstance(task, PoolingTask), "see runners.py"
        return task

    @cached_property
    def _told(self) -> dict[int, int]:
        """How many tokens were read, by the places of the inputs whose vectors were told."""
        return {}

    @cached_property
    def _left(self) -> Iterator[range]:
        check_parameters(self._task, self._engine.card)
        check_size(self._task, self._engine.card)
        return self._engine.pooler.divide(self._task, self.execution)

    @property
    def width(self) -> int:
        return min(self._task.size, self._engine.pooler.width, self._engine.card.slots)

    def restore(self) -> None:
        """What was told stays so."""
        for entry in streams.entries(self._tickets.client, self.execution.job_id):
            for event in entry.events:
                if isinstance(event, Pooled):
                    self._told.update(enumerate(event.tokens, event.first))

    def _next(self) -> range | None:
        return next((places for places in self._left if not self._told.keys() >= set(places)), None)

    def _compute(self, part: range) -> None:
        pooled = self._engine.pooler.pool(self._task, part, self.execution)
        if isinstance(self._task, Embedding) and (dimensions := self._task.dimensions):
            pooled = replace(pooled, vectors=tuple(_shorten(vector, dimensions) for vector in pooled.vectors))
        with self._lock:
            self._told.update(enumerate(pooled.tokens, pooled.first))
        if len(part) < self._task.size:
            self._tell(pooled)
        else:
            self._whole = pooled

    def _finish(self) -> Done:
        if self._whole:
            self._tell(self._whole)
        return Done(Usage(sum(self._told.values()), 0))


def _shorten(vector: bytes, dimensions: int) -> bytes:
    """The first numbers of it, brought to length 1 again."""
    cut = np.frombuffer(vector, "<f4")[:dimensions]
    length = float(np.linalg.norm(cut))
    return (cut / length if length else cut).astype("<f4").tobytes()
