"""One answer of llama.cpp: usually one request, several when it has to make room for others in between."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from shared.cancellation import Cancellable, check
from shared.protocol import Delta, Done, Event, FinishReason, Progress, Sampling, Timings, Usage
from worker.engines import UNTOLD
from worker.engines.cells import Cells, Share
from worker.engines.llama_cpp_prompt import PromptReader
from worker.engines.llama_cpp_sampling import setup
from worker.engines.llama_cpp_server import LlamaServer, OutOfCells
from worker.engines.stops import Piece, Spelling, go_on, stop_strings

_STREAM = {
    "stream": True,
    "return_progress": True,  # without it a cancellation waits for the end of the prompt
    "return_tokens": True,
    "response_fields": ["stop", "stop_type", "tokens_predicted"],  # of the last chunk only
}
_STEPS = 8
"""Tokens of one request where llama.cpp is to tell every one: it does so only at the end of a request."""
_STALLS = 3
"""Attempts in a row that llama.cpp may fail for want of cells, without a token, before the answer fails."""


def _tells(progress: Mapping[str, int], batch: int) -> bool:
    """Whether this report is worth an event: the answer is not there already, nor with the next step."""
    return progress["processed"] < progress["total"] and progress["total"] - progress["cache"] > batch


class _MakeRoom(Exception):
    """Older answers need the cells of this one, which goes on when they are free."""


class _Untold(Exception):
    """llama.cpp has not told a token, and every one is wanted."""


class _Ripe(Exception):
    """It has as many tokens as it must have, and may end from now on."""


class Generation:
    """Computes the answer to one prompt, which is read `batch` tokens a step.

    It ends as too long at `until` (monotonic), wherever it waits.

    `choosing` is how llama.cpp chooses tokens, in its own terms; `growing` the same as long as nothing may end the
    answer. With `spell`, which gives the bytes of tokens, every token is told. Stop strings are looked for here:
    llama.cpp does so between the steps of all answers, in a time that grows with the square of their length.
    """

    def __init__(
        self,
        server: LlamaServer,
        reader: PromptReader,
        cells: Cells,
        prompt: list[int],
        sampling: Sampling,
        choosing: Mapping[str, Any],
        growing: Mapping[str, Any],
        batch: int,
        execution: Cancellable,
        past: Sequence[Delta],
        until: float,
        spell: Callable[[Sequence[int]], bytes] | None = None,
    ) -> None:
        self._spell, self._stops = spell, stop_strings(tuple(sampling.stop))
        self._server, self._reader, self._cells, self._execution = server, reader, cells, execution
        self._prompt_tokens, self._sampling, self._batch = prompt, sampling, batch
        self._choosing, self._growing, self._ends = choosing, growing, frozenset(sampling.stop_token_ids)
        self._pieces = list(past)
        self._tokens = [token for delta in past for token in delta.tokens]
        self._cached: int | None = None
        self._begun, self._until = time.monotonic(), until
        self._read = 0.0  # when the prompt had been read
        self._parted = False  # it goes on from a part, so that nobody knows how long it took

    def events(self, context: int) -> Iterator[Event]:
        share = Share()
        stalls, attempt = 0, self._attempt
        try:
            while True:
                count, prompt, limit = len(self._tokens), self._prompt_so_far(), self._sampling.max_tokens
                self._parted = count > 0
                # Full: its end was lost, or the text took more tokens when it was read again than when it was made.
                if count == limit or len(prompt) >= context or self._late:
                    yield Delta(finish_reason="length")
                    yield self._done(count)
                    return
                share.tokens = len(prompt)
                share.most = context if limit is None else min(context, len(prompt) + limit - count)
                if not self._cells.enter(share, self._execution, self._until):
                    continue
                try:
                    yield from attempt(prompt, -1 if limit is None else limit - count, share)
                    return
                except _Untold:
                    attempt = self._steps
                except (_MakeRoom, _Ripe):
                    stalls = 0
                except OutOfCells:
                    stalls = stalls + 1 if len(self._tokens) == count else 0
                    if stalls == _STALLS:
                        raise
        finally:
            self._cells.leave(share)

    def _prompt_so_far(self) -> list[int]:
        """The tokens of the prompt and of what has been generated."""
        if UNTOLD not in self._tokens:
            return self._prompt_tokens + self._tokens
        text = "".join(delta.text for delta in self._pieces)
        return self._prompt_tokens + self._reader.read_again(text, self._execution)

    def _attempt(self, prompt: list[int], n_predict: int, share: Share) -> Iterator[Event]:
        """Compute what is missing. Raises _MakeRoom, OutOfCells, _Ripe or _Untold: the next attempt goes on there."""
        before, grows = len(self._tokens), self._grows
        spelling = self._spelling()
        # What goes on must not draw the same random numbers as what it goes on from.
        seed = (self._sampling.seed + before) % (2**32 - 1)
        request = {**_STREAM, **self._terms, "seed": seed, "prompt": prompt, "n_predict": n_predict}
        request["cache_prompt"] = before > 0 or self._sampling.cache_prompt
        chunks = self._server.stream("/completion", request, self._execution, seconds=setup(self._sampling))
        with contextlib.closing(chunks):
            for chunk in chunks:
                predicted = chunk["tokens_predicted"]
                if chunk["stop"]:
                    if self._spell and before + predicted > len(self._tokens) + len(spelling):
                        raise _Untold
                    finish: FinishReason = "length" if chunk["stop_type"] == "limit" else "stop"
                    yield from self._finish(spelling, finish, before + predicted)
                    return
                if progress := chunk.get("prompt_progress"):
                    if self._cached is None:
                        self._cached = min(progress["cache"], len(self._prompt_tokens))
                    if before == 0 and _tells(progress, self._batch):
                        yield Progress(progress["processed"], progress["total"])
                else:
                    self._read = self._read or time.monotonic()
                    told, text = chunk["tokens"], chunk["content"]
                    # Of the tokens that share a character llama.cpp tells only the last.
                    untold = before + predicted - len(self._tokens) - len(spelling) - len(told) if text else 0
                    if untold and self._spell:
                        raise _Untold
                    logprob = sum(choice["logprob"] for choice in chunk.get("completion_probabilities", ()))
                    ended = not self._ends.isdisjoint(told)
                    if ended:
                        spelling.hold(*told, logprob=logprob)
                    elif piece := spelling.say(text, *(UNTOLD,) * untold, *told, logprob=logprob):
                        yield self._piece(piece)
                    if grows and not self._grows and not len(spelling):
                        raise _Ripe
                    if ended or spelling.stopped:
                        yield from self._finish(spelling, "stop", before + predicted)
                        return
                    if not self._cells.grow(share, len(prompt) + predicted):
                        raise _MakeRoom
                if self._late:
                    yield from self._finish(spelling, "length", before + predicted)
                    return

    def _steps(self, prompt: list[int], n_predict: int, share: Share) -> Iterator[Event]:
        """As `_attempt`, a few tokens a request. What is seeded goes on with other random numbers than that."""
        assert self._spell is not None
        spelling, computed, grows, terms = self._spelling(), list[int](), self._grows, self._terms
        while not self._late and (room := min(_STEPS, share.most - len(prompt) - len(computed))) > 0:
            count = len(self._tokens) + len(spelling)
            if grows:
                room = max(1, min(room, self._sampling.min_tokens - count))
            seed = (self._sampling.seed + count) % (2**32 - 1)
            request = {**terms, "seed": seed, "prompt": prompt + computed, "n_predict": room}
            steps = (len(prompt) + len(computed)) // self._batch + 1 + room
            request["return_tokens"] = True
            asked = "/completion", request, self._execution
            reply = self._server.ask(*asked, steps=steps, seconds=setup(self._sampling), computes=True)
            check(self._execution)
            self._read = self._read or time.monotonic()
            made = self._until_end(reply["tokens"])
            computed += made
            ended = reply["stop_type"] == "eos" or not self._ends.isdisjoint(made)
            logprob = sum(choice["logprob"] for choice in reply.get("completion_probabilities", ())[: len(made)])
            for token in made[:-1] if ended else made:
                if piece := spelling.add(self._spell([token]), token, logprob):
                    yield self._piece(piece)
                logprob = 0.0
                if spelling.stopped:
                    break
            if ended and not spelling.stopped:
                spelling.hold(computed[-1], logprob=logprob)
            if ended or spelling.stopped:
                yield from self._finish(spelling, "stop", len(self._tokens) + len(spelling))
                return
            if grows and not self._grows and not len(spelling):
                raise _Ripe
            if not self._cells.grow(share, len(prompt) + len(computed)):
                raise _MakeRoom
        yield from self._finish(spelling, "length", len(self._tokens) + len(spelling))

    @property
    def _grows(self) -> bool:
        """Whether it has fewer tokens than it must have."""
        return len(self._tokens) < self._sampling.min_tokens

    @property
    def _terms(self) -> Mapping[str, Any]:
        return self._growing if self._grows else self._choosing

    def _spelling(self) -> Spelling:
        """Of what comes next."""
        return go_on(self._stops, self._pieces, self._sampling.min_tokens)

    def _until_end(self, tokens: list[int]) -> list[int]:
        """Up to the first that ends the answer."""
        return next((tokens[: i + 1] for i, token in enumerate(tokens) if token in self._ends), tokens)

    @property
    def _late(self) -> bool:
        return time.monotonic() >= self._until

    def _finish(self, spelling: Spelling, reason: FinishReason, count: int) -> Iterator[Event]:
        """The last piece, and the end, of an answer of so many tokens."""
        yield self._piece(spelling.rest(), reason)
        yield self._done(count)

    def _piece(self, piece: Piece, finish_reason: FinishReason | None = None) -> Delta:
        delta = Delta(piece.text, piece.tokens, finish_reason=finish_reason, logprob=piece.logprob)
        self._pieces.append(delta)
        self._tokens += delta.tokens
        return delta

    def _done(self, count: int) -> Done:
        usage = Usage(len(self._prompt_tokens), count, self._cached or 0)
        if self._parted or not self._read:
            return Done(usage)
        read = self._read - self._begun
        return Done(usage, Timings(read * 1000, (time.monotonic() - self._begun - read) * 1000))
