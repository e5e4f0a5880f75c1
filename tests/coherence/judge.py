"""Whether an answer is coherent, by two measures that do not ask whether it is true.

*Surprise*: how little the model itself expects the worst stretch of the answer. Writing that anybody would follow has
no sixteen tokens in a row that are far from what was to be expected; nonsense begins with them. The perplexity of the
whole answer cannot tell them apart: what people write is about as improbable as nonsense, but evenly so.

*Repetition*: the share of runs of four words that the answer has had before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from openai import OpenAI

from tests.coherence.judge_model import JudgeModel

STRETCH = 16
"""Tokens."""
HIGHEST_SURPRISE = 3.0
"""Nats a token: as if there were twenty words to choose from, each as likely as the others."""
HIGHEST_REPETITION = 0.25
_RUN = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    surprise: float
    repetition: float
    perplexity: float

    @property
    def coherent(self) -> bool:
        return self.surprise <= HIGHEST_SURPRISE and self.repetition <= HIGHEST_REPETITION


class Judge:
    def __init__(self, client: OpenAI, model: JudgeModel) -> None:
        """The client is of a gateway that serves the model: it knows the tokens of a text."""
        self._client, self._model = client, model

    def judge(self, question: str, answer: str) -> Verdict:
        """An answer without a word is as bad as can be."""
        if not answer.strip():
            return Verdict(np.inf, 0.0, np.inf)
        told: Any = {"model": "smollm2", "max_tokens": 1, "extra_body": {"return_token_ids": True}}
        asked = self._client.chat.completions.create(messages=[{"role": "user", "content": question}], **told)
        said = self._client.completions.create(prompt=answer, **told)
        before, tokens = (thing.model_extra["prompt_token_ids"] for thing in (asked, said))
        surprises = -self._model.score(before, tokens)
        width = min(STRETCH, len(surprises))
        stretches = np.convolve(surprises, np.ones(width) / width, "valid")
        return Verdict(float(stretches.max()), repetition(answer), float(np.exp(surprises.mean())))


def repetition(text: str) -> float:
    words = re.findall(r"\w+", text.lower())
    runs = [tuple(words[i : i + _RUN]) for i in range(len(words) - _RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
