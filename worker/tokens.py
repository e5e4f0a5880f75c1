"""The runner of what is asked of a model's tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from typing import assert_never

from shared import streams
from shared.context import check_size
from shared.parameters import check_parameters
from shared.protocol import (
    Decoding,
    Described,
    Describing,
    Done,
    Encoding,
    Event,
    TokenizerEvent,
    TokenizerTask,
    Usage,
)
from worker.run import Runner

_NOTHING = Usage(0, 0)
"""The model has read no token, and made none."""


class TokenizerRunner(Runner[TokenizerTask]):
    """The computation of an `Encoding`, a `Decoding` or a `Describing`: one part, told in one event."""

    @cached_property
    def _left(self) -> Iterator[TokenizerTask]:
        """What is to be answered."""
        task = self.execution.accepted.task
        assert isinstance(task, TokenizerTask), "see runners.py"
        return iter([task])

    @property
    def width(self) -> int:
        return 1

    def restore(self) -> None:
        """What was told stays so: only the end is missing."""
        entries = streams.entries(self._tickets.client, self.execution.job_id)
        if any(isinstance(event, TokenizerEvent) for entry in entries for event in entry.events):
            self._left = iter(())

    def _next(self) -> TokenizerTask | None:
        return next(self._left, None)

    def _compute(self, task: TokenizerTask) -> None:
        self._tell(self._answer_to(task))

    def _answer_to(self, task: TokenizerTask) -> Event:
        tokenizer = self._engine.tokenizer
        match task:
            case Encoding():
                check_parameters(task, self._engine.card)
                check_size(task, self._engine.card)
                return tokenizer.encode(task, self.execution)
            case Decoding():
                return tokenizer.decode(task.tokens)
            case Describing():
                return Described(json.dumps(tokenizer.describe(), ensure_ascii=False))
            case _:
                assert_never(task)

    def _finish(self) -> Done:
        return Done(_NOTHING)
