"""Vectors of engines that make none."""

from __future__ import annotations

from collections.abc import Iterator

from shared.cancellation import NEVER, Cancellable
from shared.errors import InvalidRequest
from shared.protocol import Pooled, PoolingTask


class NoPooler:
    """See `worker.engines.Pooler`. No task gets here: the engine's card lacks the abilities."""

    def divide(self, task: PoolingTask) -> Iterator[range]:
        raise InvalidRequest("This engine makes no vectors.", param="model", code="unsupported_value")

    def pool(self, task: PoolingTask, places: range, work: Cancellable = NEVER) -> Pooled:
        raise InvalidRequest("This engine makes no vectors.", param="model", code="unsupported_value")
