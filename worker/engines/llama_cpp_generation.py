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
from worker.engines.llama_cpp_answer import GrowingAnswer, NewTerms
from worker.engines.llama_cpp_likelihoods import Likelihoods
from worker.engines.llama_cpp_prompt import PromptReader
from worker.engines.llama_cpp_reading import STREAM, is_far, is_read
from worker.engines.llama_cpp_sampling import setup
from worker.engines.llama_cpp_seat import Seat
from worker.engines.llama_cpp_server import OutOfCells
from worker.engines.splitter import Splitter
from worker.engines.stops import Token

_STEPS = 8
"""Tokens of one request where llama.cpp is to tell every one: it does so only at the end of a request."""
_STALLS = 3
"""Attempts in a row that llama.cpp may fail for want of cells, without a token, before the answer fails."""


class _MakeRoom(Exception):
    """Older answers need the cells of this one, which goes on when they are free."""


class _Untold(Exception):
    """llama.cpp has not told a token, or how likely it was, and that is wanted of every one."""


class Generation:
    """Computes the answer to one prompt, which is read `batch` tokens a step.

    It ends as too long at `until` (monotonic), wherever it waits.

    With `spell`, which gives a token's bytes, every token is told. Stop strings are looked for here: llama.cpp does so
    between the steps of all answers, in a time that grows with the square of their length.
    """

    def __init__(
        self,
        seat: Seat,
        likelihoods: Likelihoods,
        reader: PromptReader,
        cells: Cells,
        prompt: list[int],
        sampling: Sampling,
        answer: GrowingAnswer,
        batch: int,
        execution: Cancellable,
        until: float,
        spell: Callable[[int], bytes] | None = None,
    ) -> None:
        self._spell, self._answer, self._likelihoods = spell, answer, likelihoods.at(seat.server)
        self._seat, self._server = seat, seat.server
        self._reader, self._cells, self._execution = reader, cells, execution
        self._prompt_tokens, self._sampling, self._batch = prompt, sampling, batch
        self._ends, self._top = frozenset(sampling.stop_token_ids), sampling.logprobs
        self._cached: int | None = None
        self._until, self._read = until, 0.0  # when the prompt had been read: not every token has a text
        self._parted = False  # it goes on from a part, so that nobody knows how long it took

    def events(self, context: int) -> Iterator[Event]:
        share = self._seat.share
        share.stays = self._sampling.grammar is not None
        stalls, tells_all = 0, True
        try:
            while True:
                count, prompt, limit = len(self._answer.tokens), self._prompt_so_far(), self._sampling.max_tokens
                self._parted = count > 0
                # Full: its end was lost, or the text took more tokens when it was read again than when it was made.
                most = context if limit is None else min(context, len(prompt) + limit - count)
                if len(prompt) + len(self._answer.closing) >= most or self._late:
                    yield Delta(finish_reason="length")
                    yield self.done(count)
                    return
                self._seat.cells = max(self._seat.cells, share.tokens)  # what it has, while it waits
                share.tokens = max(len(prompt), self._seat.cells)  # which has what came before until it computes
                share.most = most
                if not self._cells.enter(share, self._execution, self._until):
                    continue
                if closing := self._answer.closing:
                    yield self._answer.close(self._price(prompt, closing))
                    continue
                compute = self._guide if self._answer.guided else self._attempt if tells_all else self._steps
                try:
                    yield from compute(prompt, -1 if limit is None else limit - count, share)
                    return
                except _Untold:
                    tells_all = False
                except (_MakeRoom, NewTerms):
                    stalls = 0
                except OutOfCells:
                    stalls = stalls + 1 if len(self._answer.tokens) == count else 0
                    if stalls == _STALLS:
                        raise
        finally:
            self._seat.hold(self._prompt_tokens + self._answer.tokens, share.tokens)
            self._cells.leave(share)

    def _prompt_so_far(self) -> list[int]:
        """The tokens of the prompt and of what has been generated."""
        if UNTOLD not in self._answer.tokens:
            return self._prompt_tokens + self._answer.tokens
        return self._prompt_tokens + self._reader.read_again(self._answer.written, self._execution)

    def _attempt(self, prompt: list[int], n_predict: int, share: Share) -> Iterator[Event]:
        """Compute what is missing. Raises _MakeRoom, OutOfCells, NewTerms, _Untold: the next goes on there."""
        before, grows, left = len(self._answer.tokens), self._answer.grows, self._answer.left
        splitter = self._answer.splitter()
        stage = splitter.stage
        frugal = left is not None and (n_predict < 0 or left < n_predict)
        # What goes on must not draw the same random numbers as what it goes on from.
        seed = (self._sampling.seed + before) % (2**32 - 1)
        request = {**STREAM, **self._answer.terms(stage), "seed": seed, "prompt": prompt}
        request["n_predict"] = left if frugal else n_predict
        request["cache_prompt"] = before > 0 or self._sampling.cache_prompt
        chunks = self._server.stream("/completion", request, self._execution, seconds=setup(self._sampling))
        with contextlib.closing(chunks):
            for chunk in chunks:
                predicted = chunk["tokens_predicted"]
                if chunk["stop"]:
                    if self._spell and before + predicted > len(self._answer.tokens) + len(splitter):
                        if not self._answer.guided:
                            raise _Untold
                        predicted = len(self._answer.tokens) + len(splitter) - before  # it is no character
                    finish: FinishReason = "length" if chunk["stop_type"] == "limit" else "stop"
                    if (frugal and finish == "length") or self._answer.ends_early(splitter.stage):
                        yield from self._answer.spend(splitter)
                    yield from self._finish(splitter, finish, before + predicted)
                    return
                if progress := chunk.get("prompt_progress"):
                    if self._cached is None:
                        self._cached = max(0, min(progress["cache"], len(self._prompt_tokens)) - self._seat.read)
                    if is_read(progress):
                        self._read = self._read or time.monotonic()
                    if before == 0 and is_far(progress, self._batch):
                        yield Progress(progress["processed"], progress["total"])
                else:
                    self._read = self._read or time.monotonic()
                    told, text = chunk["tokens"], chunk["content"]
                    # Of the tokens that share a character llama.cpp tells only the last.
                    untold = before + predicted - len(self._answer.tokens) - len(splitter) - len(told) if text else 0
                    tokens, gaps = self._read_tokens(chunk, untold)
                    if gaps and self._spell and not self._answer.guided:
                        raise _Untold
                    ended = not self._ends.isdisjoint(told)
                    if ended:
                        splitter.hold(*tokens)
                    else:
                        yield from self._answer.tell(splitter.say(text, *tokens), splitter, stage, grows)
                    if ended or splitter.stopped:
                        yield from self._finish(splitter, "stop", before + predicted)
                        return
                    if not self._cells.grow(share, len(prompt) + predicted):
                        raise _MakeRoom
                if self._late:
                    yield from self._finish(splitter, "length", before + predicted)
                    return

    def _steps(self, prompt: list[int], n_predict: int, share: Share) -> Iterator[Event]:
        """As `_attempt`, a few tokens a request. What is seeded goes on with other random numbers than that."""
        assert self._spell is not None
        splitter, computed, grows, left = self._answer.splitter(), list[int](), self._answer.grows, self._answer.left
        stage = splitter.stage
        terms, most = self._answer.terms(stage), share.most - len(prompt)
        frugal = left is not None and left < most
        most = left if left is not None and frugal else most
        longest = _STEPS if self._top is None else 1  # else it would be doubtful which of them it tells more of
        while not self._late and (room := min(longest, most - len(computed))) > 0:
            count = len(self._answer.tokens) + len(splitter)
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
            tokens, gaps = self._read_tokens(reply)
            tokens = self._price(prompt + computed, made) if gaps else tokens[: len(made)]
            computed += made
            ended = reply["stop_type"] == "eos" or not self._ends.isdisjoint(made)
            for id, token in list(zip(made, tokens, strict=True))[: len(made) - ended]:
                yield from self._answer.tell(splitter.add(self._spell(id), token), splitter, stage, grows)
                if splitter.stopped:
                    break
            if ended and not splitter.stopped:
                splitter.hold(tokens[-1])
            if ended or splitter.stopped:
                yield from self._finish(splitter, "stop", len(self._answer.tokens) + len(splitter))
                return
            if not self._cells.grow(share, len(prompt) + len(computed)):
                raise _MakeRoom
        if frugal and not self._late:
            yield from self._answer.spend(splitter)
        yield from self._finish(splitter, "length", len(self._answer.tokens) + len(splitter))

    def _guide(self, prompt: list[int], n_predict: int, share: Share) -> Iterator[Event]:
        """As `_attempt`, where the rest is one request: llama.cpp begins a grammar anew with each."""
        events = self._attempt(prompt, n_predict, share)
        return events if self._top is None else self._likelihoods.fill(events, prompt, self._top, self._execution)

    def _read_tokens(self, chunk: Mapping[str, Any], untold: int = 0) -> tuple[Sequence[Token], bool]:
        """Those of a chunk, before which come some that are not told; and whether something of them is not."""
        if self._top is None:
            return ((UNTOLD,) * untold + tuple(chunk["tokens"])), untold > 0
        tokens = self._likelihoods.read(chunk, self._top, untold)
        return tokens, any(token.logprob is None for token in tokens)

    def _price(self, before: Sequence[int], tokens: Sequence[int]) -> Sequence[Token]:
        """Tokens that come after these, with how likely they are where that is wanted."""
        return tokens if self._top is None else self._likelihoods.ask(before, tokens, self._top, self._execution)

    def _until_end(self, tokens: list[int]) -> list[int]:
        """Up to the first that ends the answer."""
        return next((tokens[: i + 1] for i, token in enumerate(tokens) if token in self._ends), tokens)

    @property
    def _late(self) -> bool:
        return time.monotonic() >= self._until

    def _finish(self, splitter: Splitter, reason: FinishReason, count: int) -> Iterator[Event]:
        """The last pieces, and the end, of an answer of so many tokens."""
        yield from self._answer.end(splitter, reason)
        yield self.done(count)

    def done(self, count: int) -> Done:
        """The end of an answer of so many tokens."""
        usage = Usage(len(self._prompt_tokens), count, self._cached or 0)
        if self._parted or not self._read:
            return Done(usage)
        read = self._read - self._seat.since
        return Done(usage, Timings(read * 1000, (time.monotonic() - self._read) * 1000))
