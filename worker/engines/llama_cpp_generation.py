"""One answer of llama.cpp: usually one request, several when it has to make room for others in between."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from shared.protocol import Delta, Done, Event, Progress, Sampling, Timings, Usage
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
        prompt: str,
        prompt_tokens: list[int],
        sampling: Sampling,
        choosing: Mapping[str, Any],
        execution: Execution,
    ) -> None:
        self._client, self._cells, self._execution = client, cells, execution
        self._prompt, self._prompt_tokens = prompt, prompt_tokens
        self._sampling, self._choosing = sampling, choosing
        self._connection: Connection | None = None
        self._text: list[str] = []
        self._tokens: list[int] = []
        self._count = 0  # tokens of the text; `_tokens` lacks all but the last of those that share a character
        self._cached: int | None = None

    def events(self, context: int) -> Iterator[Event]:
        claim = Claim()
        self._execution.on_cancel(self._abort)
        stalls = 0
        try:
            while True:
                count, prompt, limit = self._count, self._continued(), self._sampling.max_tokens
                if len(prompt) >= context:  # the text took more tokens when it was read again than when it was made
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
                    stalls = stalls + 1 if self._count == count else 0
                    if stalls == _STALLS:
                        raise
        finally:
            self._cells.leave(claim)

    def _continued(self) -> list[int]:
        """The tokens of the prompt and of what has been generated."""
        if len(self._tokens) == self._count:
            return self._prompt_tokens + self._tokens
        return self._client.tokens(self._prompt + "".join(self._text), self._cancelled)

    def _attempt(self, prompt: list[int], n_predict: int, claim: Claim) -> Iterator[Event]:
        """Compute what is missing. Raises _MakeRoom or OutOfCells; the next attempt goes on from there."""
        before = self._count
        held: list[int] = []  # their text waits for the end of a character, or of what may become a stop string
        request = {**_STREAM, **self._choosing, "prompt": prompt, "n_predict": n_predict}
        chunks = self._client.stream("/completion", request, self._cancelled, self._opened)
        with contextlib.closing(chunks):
            for chunk in chunks:
                predicted = chunk["tokens_predicted"]
                if chunk["stop"]:
                    yield from self._finish(chunk, held, before + predicted, continued=before > 0)
                elif progress := chunk.get("prompt_progress"):
                    if self._cached is None:
                        self._cached = progress["cache"]
                    if before == 0 and _tells(progress):
                        yield Progress(progress["processed"], progress["total"])
                else:
                    held += chunk["tokens"]
                    if text := chunk["content"]:
                        tokens, held = tuple(held), []
                        self._text.append(text)
                        self._tokens += tokens
                        self._count = before + predicted
                        yield Delta(text, tokens)
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
