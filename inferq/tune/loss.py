"""Whether a model foresees a text as well with other settings."""

from __future__ import annotations

import math
import statistics
from contextlib import closing

from inferq.tools.perplexity import windows
from inferq.tune.candidates import PRESENT, Proposal
from shared.catalogue import Model
from shared.config import Config
from shared.progress import step

MOST = 0.001
"""By which its perplexity may rise, as a part of it."""
_TOKENS, _WINDOW = 1536, 512
"""Of the text, and of a window of it."""


def loss(candidate: Proposal, model: Model, config: Config) -> float:
    """By what part the perplexity is higher than now, of some pages of English that every Python has."""
    with step("it is being measured how well it foresees a text"):
        now, new = (_perplexity(each, model, config) for each in (PRESENT, candidate))
    return new / now - 1


def _perplexity(candidate: Proposal, model: Model, config: Config) -> float:
    from worker import engines

    engine = engines.load(*candidate.apply(model, config))
    with closing(engine):
        begin = engine.tokenize("")
        tokens = engine.tokenize(_text())[len(begin) : _TOKENS]
        room = min(_WINDOW, engine.card.context) - len(begin)
        scores = [
            each.logprob or 0.0
            for start, end, judged in windows(len(tokens), 1, room, room)
            if end > max(judged, start + 1)
            for each in engine.scorer.score(begin + tokens[start:end], len(begin) + max(judged - start, 1))
        ]
    return math.exp(-statistics.fmean(scores))


def _text() -> str:
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))[: 8 * _TOKENS]
