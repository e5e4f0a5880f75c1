"""How likely the tokens of an answer were: what llama.cpp tells of that, and what it has to be asked for.

It tells nothing of a token that is the beginning of a character, nor which it was before the request is over; and of
those that a draft has guessed not how likely they were.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from shared.cancellation import Cancellable
from shared.errors import EngineError
from shared.protocol import Delta, Event, TokenLogprob, TopLogprob
from worker.engines import UNTOLD
from worker.engines.llama_cpp_server import LlamaServer
from worker.engines.stops import Letters

LEAST = -9999.0
"""Stands for a probability that is too small for llama.cpp, whose number for it JSON's readers may not take."""
_FORCING = 1000.0
_LIKELY = 100
"""Among so many of the likeliest is nearly every token that is chosen."""
_LIFT = 100.0
"""Added to a logit, it leaves all others behind."""
_LEADS = (40.0, 0.0, -40.0)
"""A probability that is smaller by more is none to llama.cpp."""


class Likelihoods:
    """Of a model with this vocabulary, whose prompts are read `batch` tokens a step.

    `count` is everywhere how many of the likeliest tokens are told beside each.
    """

    def __init__(self, server: LlamaServer, vocabulary: Sequence[bytes], batch: int) -> None:
        self._server, self._vocabulary, self._batch = server, vocabulary, batch
        # All of llama.cpp's numbers are told with a token that comes, if only it has a text.
        self._parts = functools.cache(functools.partial(_find_parts, vocabulary))
        self._letter = next((i for i, piece in enumerate(vocabulary) if piece.isascii() and piece.isalpha()), 0)

    def at(self, server: LlamaServer) -> Likelihoods:
        """The same, asked there."""
        other = copy.copy(self)
        other._server = server
        return other

    def terms(self, count: int) -> dict[str, Any]:
        """What a request says. Its numbers are the model's own, from before anything is done to them."""
        return {"n_probs": max(1, count), "post_sampling_probs": False}

    def read(self, chunk: Mapping[str, Any], count: int, untold: int = 0) -> tuple[TokenLogprob, ...]:
        """Those of the tokens of a chunk, before which come some that are not told: without a log probability where
        that has to be asked for. The text of all that are not told stands with the first.
        """
        tokens: list[int] = chunk["tokens"]
        told = [entry for entry in chunk.get("completion_probabilities", ()) if entry["top_logprobs"]]
        if [entry["id"] for entry in told] == tokens:
            known = [self._read(entry, entry["id"], entry["logprob"], count) for entry in told]
        else:
            known = [TokenLogprob(token, self._vocabulary[token], None) for token in tokens]
        text = chunk["content"].encode()
        before = text[: len(text) - sum(len(entry.text) for entry in known)]
        return (*(TokenLogprob(UNTOLD, b"" if i else before, None) for i in range(untold)), *known)

    def ask(self, before: Sequence[int], tokens: Sequence[int], count: int, work: Cancellable) -> list[TokenLogprob]:
        """Those of tokens that come after these. Each is forced: only its price is looked at."""
        return [self._ask([*before, *tokens[:i]], token, count, work) for i, token in enumerate(tokens)]

    def fill(self, events: Iterable[Event], before: Sequence[int], count: int, work: Cancellable) -> Iterator[Event]:
        """The events of one request, after these tokens. From the first piece on that has a gap all of them wait until
        it is over, for the slot that can tell more is busy with it."""
        tokens, held = list(before), list[Event]()
        for event in events:
            if held or (isinstance(event, Delta) and any(entry.logprob is None for entry in event.logprobs)):
                held.append(event)
                continue
            tokens += event.tokens if isinstance(event, Delta) else ()
            yield event
        for event in held:
            if isinstance(event, Delta):
                found = list(self._complete(event.logprobs, tokens, count, work))
                event = replace(event, tokens=tuple(entry.token for entry in found), logprobs=tuple(found))
                tokens += event.tokens
            yield event

    def _complete(
        self, entries: Sequence[TokenLogprob], before: Sequence[int], count: int, work: Cancellable
    ) -> Iterator[TokenLogprob]:
        tokens = list(before)
        for at, entry in enumerate(entries):
            found = [entry]
            if entry.token == UNTOLD:
                gap = next(
                    (i for i, other in enumerate(entries[at + 1 :], 1) if other.token != UNTOLD or other.text), 0
                )
                found = self._likeliest(tokens, entry.text, gap or len(entries) - at, count, work) if entry.text else []
            elif entry.logprob is None:
                found = self.ask(tokens, [entry.token], count, work)
            tokens += [other.token for other in found]
            yield from found

    def _likeliest(
        self, before: Sequence[int], text: bytes, size: int, count: int, work: Cancellable
    ) -> list[TokenLogprob]:
        """So many tokens that are spelled so. Mostly there is one way."""
        ways = [self.ask(before, way, count, work) for way in self._ways(text, size)]
        if not ways:
            raise EngineError("llama.cpp has told a text that its tokens do not spell")
        return max(ways, key=lambda way: sum(entry.logprob or 0.0 for entry in way))

    def _ways(self, text: bytes, size: int) -> list[list[int]]:
        """How so many tokens, none of which ends with a character, spell it."""
        ways: list[tuple[int, list[int]]] = [(0, [])]
        for left in range(size - 1, -1, -1):
            ways = [
                (end, [*way, token])
                for at, way in ways
                for end in (range(at + 1, len(text) - left + 1) if left else (len(text),))
                for token in self._parts().get(text[at:end], ())
            ]
        return [way for _, way in ways]

    def _ask(self, before: Sequence[int], token: int, count: int, work: Cancellable) -> TokenLogprob:
        letters = Letters()
        letters.read(self._vocabulary[token])
        if letters.whole and (forced := self._force(before, [(token, _FORCING)], self.terms(count), work)):
            return self._read(forced, token, forced["logprob"], count)
        # What llama.cpp takes for the beginning of a character is found beside a letter, or compared with it.
        forced = self._force(before, [(self._letter, _FORCING)], self.terms(max(count, _LIKELY)), work)
        found = next((other["logprob"] for other in forced["top_logprobs"] if other["id"] == token), None)
        if found is None:
            found = forced["logprob"] + self._compare(before, token, work)
        return self._read(forced, token, found, count)

    def _compare(self, before: Sequence[int], token: int, work: Cancellable) -> float:
        """The logarithm of how much likelier it is than the letter. Both are made so likely that they are told, and
        the letter so much likelier that it comes. To ask for all of a vocabulary would take its megabytes."""
        terms = {"temperature": 1.0, "samplers": ["temperature"], "n_probs": 2, "post_sampling_probs": True}
        for lead in _LEADS:
            forced = self._force(before, [(token, _LIFT), (self._letter, _LIFT + lead)], terms, work)
            chances = {other["id"]: other["prob"] for other in forced.get("top_probs", ())}
            if chances.get(token) and chances.get(self._letter):
                return math.log(chances[token]) - math.log(chances[self._letter]) + lead
        return LEAST

    def _force(
        self, before: Sequence[int], bias: list[tuple[int, float]], terms: Mapping[str, Any], work: Cancellable
    ) -> dict[str, Any]:
        """What is told of the token that comes next; nothing where it has no text."""
        request = {
            "prompt": list(before),
            "n_predict": 1,
            "temperature": 0.0,
            "logit_bias": bias,
            "cache_prompt": True,
            **terms,
        }
        steps = len(before) // self._batch + 2
        answer = self._server.ask("/completion", request, work, steps=steps, computes=True)
        told: list[dict[str, Any]] = answer.get("completion_probabilities", [])
        return told[0] if told else {}

    def _read(self, entry: Mapping[str, Any], token: int, logprob: float, count: int) -> TokenLogprob:
        likeliest = entry["top_logprobs"]
        rank = next((place for place, other in enumerate(likeliest, 1) if other["id"] == token), 0)
        top = tuple(
            TopLogprob(other["id"], self._vocabulary[other["id"]], max(LEAST, other["logprob"]))
            for other in likeliest[:count]
        )
        return TokenLogprob(token, self._vocabulary[token], max(LEAST, logprob), top, rank)


def _find_parts(vocabulary: Sequence[bytes]) -> dict[bytes, list[int]]:
    """The tokens that have a part of a character, by what they stand for."""
    parts: dict[bytes, list[int]] = {}
    for token, piece in enumerate(vocabulary):
        if not piece.isascii() and "\ufffd" in piece.decode(errors="replace"):
            parts.setdefault(piece, []).append(token)
    return parts
