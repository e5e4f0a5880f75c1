"""How likely given tokens are to a model of ctransformers, whose logits come after each step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from shared.cancellation import NEVER, Cancellable
from shared.errors import ContextLengthExceeded
from shared.protocol import TextTask, TokenLogprob, TopLogprob
from worker.engines.ctransformers_client import Evaluator
from worker.engines.ctransformers_text import LegacyText
from worker.engines.sampler import logprobs


class LegacyScorer:
    """See `worker.engines.PromptScorer`. `turn` is who may use the host."""

    def __init__(
        self,
        read: Callable[[TextTask, Cancellable], list[int]],
        evaluator: Evaluator,
        text: LegacyText,
        turn: threading.Lock,
        context: int,
    ) -> None:
        self._read, self._evaluator, self._text, self._turn, self._context = read, evaluator, text, turn, context

    def read(self, task: TextTask, work: Cancellable = NEVER) -> list[int]:
        return self._read(task, work)

    def score_prompt(
        self, task: TextTask, tokens: Sequence[int], work: Cancellable, top: int, *, further: bool
    ) -> Iterator[TokenLogprob]:
        yield TokenLogprob(tokens[0], self._text.spell(tokens[0]), None)
        yield from self.score(tokens, 1, work, top, further=further)

    def score(
        self, tokens: Sequence[int], after: int = 1, work: Cancellable = NEVER, top: int = 0, *, further: bool = False
    ) -> Iterator[TokenLogprob]:
        self._text.check(tokens, "tokens")
        if len(tokens) > self._context:
            raise ContextLengthExceeded(len(tokens), self._context, param="tokens")
        with self._turn, self._evaluator.open(work) as evaluation:
            start = evaluation.count_known(tokens[:after])
            for i in range(after, len(tokens) + further):
                for _, logits in evaluation.evaluate(tokens[:i], start):
                    last = logits
                start, likely = i, logprobs(last.astype(np.float64))
                likeliest = [int(token) for token in np.argsort(-likely, kind="stable")[: max(top, 1)]]
                token = tokens[i] if i < len(tokens) else likeliest[0]
                if i < len(tokens) or token not in self._text.ends:
                    spell = self._text.spell
                    others = tuple(TopLogprob(each, spell(each), float(likely[each])) for each in likeliest[:top])
                    rank = int(np.count_nonzero(likely > likely[token])) + 1
                    yield TokenLogprob(token, spell(token), float(likely[token]), others, rank)
