"""What engines have in place of what they cannot: no task gets there, for their cards lack the abilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.cancellation import NEVER, Cancellable
from shared.errors import InvalidRequest
from shared.protocol import Pooled, PoolingTask, TextTask, TokenLogprob


class NoPooler:
    """See `worker.engines.Pooler`."""

    width = 1

    def divide(self, task: PoolingTask, work: Cancellable = NEVER) -> Iterator[range]:
        raise InvalidRequest("This engine makes no vectors.", param="model", code="unsupported_value")

    def pool(self, task: PoolingTask, places: range, work: Cancellable = NEVER) -> Pooled:
        raise InvalidRequest("This engine makes no vectors.", param="model", code="unsupported_value")


class NoScorer:
    """See `worker.engines.PromptScorer`."""

    def read(self, task: TextTask, work: Cancellable = NEVER) -> list[int]:
        raise _NO_TEXT

    def score_prompt(
        self, task: TextTask, tokens: Sequence[int], work: Cancellable, top: int, *, further: bool
    ) -> Iterator[TokenLogprob]:
        raise _NO_TEXT

    def score(
        self, tokens: Sequence[int], after: int = 1, work: Cancellable = NEVER, top: int = 0, *, further: bool = False
    ) -> Iterator[TokenLogprob]:
        raise _NO_TEXT


_NO_TEXT = InvalidRequest("This model makes vectors, and no text.", param="model", code="unsupported_value")
