"""Choosing a token from logits, in the order and with the formulae of llama.cpp's samplers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from shared.protocol import Sampling, TokenLogprob, TopLogprob
from worker.engines.defaults import COLDEST, DEFAULTS

Floats = npt.NDArray[np.float64]


class Sampler:
    """Chooses the tokens of one answer. `banned` are never chosen."""

    def __init__(self, sampling: Sampling, banned: Collection[int] = ()) -> None:
        chosen = {name: getattr(sampling, name) for name in DEFAULTS}
        self._by = {name: DEFAULTS[name] if value is None else value for name, value in chosen.items()}
        # Nothing is cut off: then the whole vocabulary need not be sorted at each token.
        self._whole = all(self._by[name] == DEFAULTS[name] for name in ("top_k", "typical_p", "top_p", "min_p"))
        self._window = sampling.repeat_last_n
        self._seed, self._banned = sampling.seed, list(banned)
        self._biased = np.array([token for token, _ in sampling.logit_bias], np.intp)
        self._biases = np.array([bias for _, bias in sampling.logit_bias], np.float64)

    def choose(self, logits: npt.NDArray[np.float32], before: Sequence[int], position: int) -> int:
        """The token at `position` of the answer, after all the tokens `before`.

        What is drawn depends on the seed and the position alone, so that an answer can be gone on with elsewhere.
        """
        return self._token(self._adjust(logits.astype(np.float64), before), position)

    def probabilities(self, logits: Floats, before: Sequence[int]) -> Floats:
        """What each token is chosen with; for a temperature above 0."""
        return self._filter(self._adjust(logits.astype(np.float64), before))

    def _token(self, logits: Floats, position: int) -> int:
        if self._by["temperature"] < COLDEST:
            return int(np.argmax(logits))
        chances = np.cumsum(self._filter(logits))
        drawn = np.random.default_rng((self._seed, position)).random() * chances[-1]
        return int(min(np.searchsorted(chances, drawn, side="right"), len(chances) - 1))

    def _adjust(self, logits: Floats, before: Sequence[int]) -> Floats:
        np.add.at(logits, self._biased, self._biases)
        logits[self._banned] = -np.inf
        for token, times in Counter(self._recent(before)).items():
            repeat = self._by["repeat_penalty"]
            logits[token] = logits[token] * repeat if logits[token] <= 0 else logits[token] / repeat
            logits[token] -= times * self._by["frequency_penalty"] + self._by["presence_penalty"]
        return logits

    def _recent(self, before: Sequence[int]) -> Sequence[int]:
        """What the penalties look at."""
        return before if self._window < 0 else before[max(0, len(before) - self._window) :]

    def _filter(self, logits: Floats) -> Floats:
        warmth = max(self._by["temperature"], COLDEST)
        if self._whole:
            return _softmax(logits / warmth)
        order = np.argsort(-logits, kind="stable")
        if 0 < self._by["top_k"] < len(order):
            order = order[: int(self._by["top_k"])]
        order = self._typical(logits, order)
        if self._by["top_p"] < 1:
            reached = np.searchsorted(np.cumsum(_softmax(logits[order])), self._by["top_p"])
            order = order[: int(reached) + 1]
        if self._by["min_p"] > 0:
            order = order[logits[order] >= logits[order[0]] + np.log(self._by["min_p"])]
        chances = np.zeros(len(logits))
        chances[order] = _softmax(logits[order] / warmth)
        return chances

    def _typical(self, logits: Floats, order: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """The tokens whose surprise is nearest to the expected one, as many as have the share; the likeliest first."""
        if self._by["typical_p"] >= 1:
            return order
        chances = _softmax(logits[order])
        surprise = -np.log(np.maximum(chances, 1e-300))
        nearest = np.argsort(np.abs(surprise - np.sum(chances * surprise)), kind="stable")
        reached = int(np.searchsorted(np.cumsum(chances[nearest]), self._by["typical_p"], side="right"))
        return order[np.sort(nearest[: reached + 1])]


def logprobs(logits: Floats) -> Floats:
    """Natural logarithms of the probabilities."""
    shifted = logits - np.max(logits)
    return np.asarray(shifted - np.log(np.sum(np.exp(shifted))))


def price(logits: npt.NDArray[np.float32], token: int, count: int, vocabulary: Sequence[bytes]) -> TokenLogprob:
    """How likely a token is by the model itself, before anything is done to its logits; and the likeliest."""
    scores = logprobs(logits.astype(np.float64))
    likeliest = np.argpartition(-scores, min(count, len(scores) - 1))[:count]
    order = likeliest[np.argsort(-scores[likeliest], kind="stable")]
    top = tuple(TopLogprob(int(i), vocabulary[i], float(scores[i])) for i in order)
    rank = 1 + int(np.count_nonzero(scores > scores[token]))
    return TokenLogprob(token, vocabulary[token], float(scores[token]), top, rank)


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - np.max(logits))
    return np.asarray(exponentials / np.sum(exponentials))
