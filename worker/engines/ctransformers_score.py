"""How likely given tokens are to a model of ctransformers, whose logits come after each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from shared.protocol import TokenLogprob, TopLogprob
from worker.engines.ctransformers_client import Evaluation
from worker.engines.ctransformers_text import LegacyText
from worker.engines.sampler import logprobs


def score(
    evaluation: Evaluation, text: LegacyText, tokens: Sequence[int], after: int, top: int, *, further: bool
) -> Iterator[TokenLogprob]:
    """See `Engine.score`: a step for each token."""
    start = evaluation.count_known(tokens[:after])
    for i in range(after, len(tokens) + further):
        for _, logits in evaluation.evaluate(tokens[:i], start):
            last = logits
        start, likely = i, logprobs(last.astype(np.float64))
        likeliest = [int(token) for token in np.argsort(-likely, kind="stable")[: max(top, 1)]]
        token = tokens[i] if i < len(tokens) else likeliest[0]
        if i < len(tokens) or token not in text.ends:
            others = tuple(TopLogprob(each, text.bytes_of(each), float(likely[each])) for each in likeliest[:top])
            rank = int(np.count_nonzero(likely > likely[token])) + 1
            yield TokenLogprob(token, text.bytes_of(token), float(likely[token]), others, rank)
