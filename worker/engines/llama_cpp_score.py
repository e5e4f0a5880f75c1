"""Log probabilities of given tokens, which llama.cpp's server does not offer: each token is forced, and its price read.

One request a token: the tokens before it are in the slot's cache, and the bias that forces it comes after the log
probability is taken.
"""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import Any

from shared.cancellation import Cancellable
from worker.engines.llama_cpp_server import LlamaServer
from worker.engines.llama_cpp_text import LlamaText

_FORCING = 1000.0


class Scorer:
    """May be used from several threads; as many as there are slots compute at once."""

    def __init__(self, server: LlamaServer, text: LlamaText, slots: int, batch: int, vocabulary_size: int) -> None:
        self._server, self._text = server, text
        self._batch, self._vocabulary_size = batch, vocabulary_size
        self._slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(slots):
            self._slots.put(slot)

    def score(self, tokens: Sequence[int], after: int, work: Cancellable) -> list[float]:
        slot = self._slots.get()
        try:
            return [self._logprob(slot, tokens[:i], tokens[i], work) for i in range(after, len(tokens))]
        finally:
            self._slots.put(slot)

    def _logprob(self, slot: int, before: Sequence[int], token: int, work: Cancellable) -> float:
        for choice in self._probabilities(slot, before, token, 1, work):
            return float(choice["logprob"])
        # A part of a character is not told of. But when a letter is forced, it is among all the others.
        letter = self._text.tokens("a", work, begins=False)[0]
        (choice,) = self._probabilities(slot, before, letter, self._vocabulary_size, work)
        return next(float(other["logprob"]) for other in choice["top_logprobs"] if other["id"] == token)

    def _probabilities(
        self, slot: int, before: Sequence[int], forced: int, count: int, work: Cancellable
    ) -> list[dict[str, Any]]:
        request = {
            "prompt": list(before),
            "n_predict": 1,
            "n_probs": count,
            "temperature": 0.0,
            "logit_bias": [(forced, _FORCING)],
            "cache_prompt": True,
            "id_slot": slot,
        }
        steps = len(before) // self._batch + 2
        answer = self._server.ask("/completion", request, work, steps=steps, computes=True)
        found: list[dict[str, Any]] = answer.get("completion_probabilities", [])
        return found
