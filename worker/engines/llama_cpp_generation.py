"""One answer of llama.cpp: usually one request, several when it has to make room for others in between."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.protocol import Delta, Done, Event, Progress, Prompt, Sampling, Timings, Usage
from worker.engines import Execution
from worker.engines.cells import Cells, Claim
from worker.engines.llama_cpp_client import Client, Connection, OutOfCells
from worker.engines.llama_cpp_host import BATCH

_STREAM = {
    "stream": True,
    "return_progress": True,  # without it a cancellation waits for the end of the prompt
    "return_tokens": True,
    "cache_prompt": True,
    "response_fields": ["stop", "stop_type", "tokens_predicted", "timings"],  # of the last chunk only
}
UNTOLD = -1
"""Stands for all but the last of the tokens that share a character: llama.cpp does not tell them."""
_STALLS = 3
"""Attempts in a row that llama.cpp may fail for want of cells, without a token, before the answer fails."""


def _tells(progress: Mapping[str, int]) -> bool:
    """Whether this report is worth an event: the answer is not there already, nor with the next step."""
    return progress["processed"] < progress["total"] and progress["total"] - progress["cache"] > BATCH


class _MakeRoom(Exception):
    """Older answers need the cells of this one, for now."""


class Generation:
    """Computes the answer to one prompt. `choosing` is how llama.cpp chooses tokens, in its own terms."""

    def __init__(
        self,
        client: Client,
        cells: Cells,
        prompt: Prompt,
        prompt_tokens: list[int],
        sampling: Sampling,
        choosing: Mapping[str, Any],
        execution: Execution,
        past: Sequence[Delta],
    ) -> None:
        self._client, self._cells, self._execution = client, cells, execution
        self._prompt, self._prompt_tokens = prompt, prompt_tokens
        self._sampling, self._choosing = sampling, choosing
        self._connection: Connection | None = None
        self._text = [delta.text for delta in past]
        self._tokens = [token for delta in past for token in delta.tokens]
        self._cached: int | None = None

    def events(self, context: int) -> Iterator[Event]:
        claim = Claim()
        self._execution.on_cancel(self._abort)
        stalls = 0
        try:
            while True:
                count, prompt, limit = len(self._tokens), self._continued(), self._sampling.max_tokens
                # Full: its end was lost, or the text took more tokens when it was read again than when it was made.
                if count == limit or len(prompt) >= context:
                    yield Delta(finish_reason="length")
                    yield Done(Usage(len(self._prompt_tokens), count, self._cached or 0))
                    return
                claim.tokens = len(prompt)
                claim.most = context if limit is None else min(context, len(prompt) + limit - count)
                self._cells.enter(claim, self._cancelled)
                try:
                    yield from self._attempt(prompt, -1 if limit is None else limit - count, claim)
                    return
                except _MakeRoom:
                    stalls = 0
                except OutOfCells:
                    stalls = stalls + 1 if len(self._tokens) == count else 0
                    if stalls == _STALLS:
                        raise
        finally:
            self._cells.leave(claim)

    def _continued(self) -> list[int]:
        """The tokens of the prompt and of what has been generated."""
        if UNTOLD not in self._tokens:
            return self._prompt_tokens + self._tokens
        text = "".join(self._text)
        if isinstance(self._prompt, str):
            return self._client.tokens(self._prompt + text, self._cancelled)
        return self._prompt_tokens + self._client.tokens(text, self._cancelled, special=False)

    def _attempt(self, prompt: list[int], n_predict: int, claim: Claim) -> Iterator[Event]:
        """Compute what is missing. Raises _MakeRoom or OutOfCells; the next attempt goes on from there."""
        before = len(self._tokens)
        logprob: float | None = None
        held: list[int] = []  # their text waits for the end of a character, or of what may become a stop string
        # What goes on must not draw the same random numbers as what it goes on from.
        seed = (self._sampling.seed + before) % (2**32 - 1)
        request = {**_STREAM, **self._choosing, "seed": seed, "prompt": prompt, "n_predict": n_predict}
        chunks = self._client.stream("/completion", request, self._cancelled, self._opened)
        with contextlib.closing(chunks):
            for chunk in chunks:
                predicted = chunk["tokens_predicted"]
                if chunk["stop"]:
                    yield from self._finish(chunk, held, before + predicted, continued=before > 0)
                elif progress := chunk.get("prompt_progress"):
                    if self._cached is None:
                        self._cached = min(progress["cache"], len(self._prompt_tokens))
                    if before == 0 and _tells(progress):
                        yield Progress(progress["processed"], progress["total"])
                else:
                    held += chunk["tokens"]
                    for choice in chunk.get("completion_probabilities", ()):
                        logprob = (logprob or 0.0) + choice["logprob"]
                    if text := chunk["content"]:
                        untold = before + predicted - len(self._tokens) - len(held)
                        tokens, held = (UNTOLD,) * untold + tuple(held), []
                        self._text.append(text)
                        self._tokens += tokens
                        yield Delta(text, tokens, logprob=logprob)
                        logprob = None
                    if not self._cells.grow(claim, len(prompt) + predicted):
                        raise _MakeRoom

    def _finish(self, last: dict[str, Any], held: list[int], count: int, *, continued: bool) -> Iterator[Event]:
        full = last["stop_type"] == "limit"
        text = self._released(held) if full and held else ""
        yield Delta(text, tuple(held) if text else (), finish_reason="length" if full else "stop")
        timings = last["timings"]
        yield Done(
            Usage(len(self._prompt_tokens), count, self._cached or 0),
            None if continued else Timings(timings["prompt_ms"], timings["predicted_ms"]),
        )

    def _released(self, held: list[int]) -> str:
        """The text that llama.cpp held back as the possible beginning of a stop string, and forgets at the limit."""
        text: str = self._client.ask("/detokenize", {"tokens": held})["content"]
        stops = self._sampling.stop
        return text if any(stop.startswith(text[i:]) for stop in stops for i in range(len(text))) else ""

    def _cancelled(self) -> bool:
        return self._execution.cancelled

    def _opened(self, connection: Connection) -> None:
        self._connection = connection

    def _abort(self) -> None:
        if self._connection:
            self._connection.abort()
