"""One answer of llama.cpp's own chat endpoint."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from shared.cancellation import Cancellable, Cancellation, check
from shared.errors import EngineError, JobCancelled
from shared.protocol import Delta, Done, Event, FineChat, FinishReason, Progress, Timings, Usage
from worker.choices import Diverged, pass_over
from worker.engines.cells import Cells, Share
from worker.engines.llama_cpp_calls import ChatPieces
from worker.engines.llama_cpp_reading import is_read
from worker.engines.llama_cpp_sampling import setup
from worker.engines.llama_cpp_seat import Seat
from worker.engines.llama_cpp_server import OutOfCells, Unreadable

_STREAM = {
    "stream": True,
    "return_progress": True,  # without it a cancellation waits for the end of the prompt
    "timings_per_token": True,  # which count the tokens
    "stream_options": {"include_usage": True},
}
_STALLS = 3
"""Attempts in a row that llama.cpp may fail for want of cells, without getting further, before the answer fails."""


class ChatAnswer:
    """One answer: usually one request, several when it has to make room for others in between.

    A request cannot go on from a part of the answer, so each begins anew with the same random numbers, and what agrees
    with what was sent is passed over. So is one that has no call and that llama.cpp cannot read: its parser takes the
    beginning of a call, or a character that is none, for a call that is broken, and keeps all after it to itself.
    """

    def __init__(
        self,
        seat: Seat,
        cells: Cells,
        task: FineChat,
        prompt: str,
        prompt_tokens: int,
        choosing: Mapping[str, Any],
        told: Mapping[str, Any],
        batch: int,
        execution: Cancellable,
        until: float,
    ) -> None:
        self._seat, self._server, self._cells, self._task, self._prompt = seat, seat.server, cells, task, prompt
        self._choosing = {name: term for name, term in choosing.items() if name != "grammar"}  # with tools not even ""
        self._choosing["cache_prompt"] = task.sampling.cache_prompt
        self._request = {**self._choosing, **told}
        self._prompt_tokens, self._batch, self._execution, self._until = prompt_tokens, batch, execution, until
        self._cached: int | None = None
        self._read = 0.0
        self._count = 0
        self._parted = self._unread = False

    def events(self, context: int) -> Iterator[Event]:
        """Raises OutOfCells, and EngineError where it came out another way after it had to begin anew."""
        limit, share, stalls, sent = self._task.sampling.max_tokens, self._seat.share, 0, list[Delta]()
        share.most = context if limit is None else min(context, self._prompt_tokens + limit)
        try:
            while True:
                self._seat.cells = max(self._seat.cells, share.tokens)  # what it has, while it waits
                share.tokens = max(self._prompt_tokens, self._seat.cells)
                if not self._cells.enter(share, self._execution, self._until):
                    yield Delta(finish_reason="length")
                    yield self._done()
                    return
                most, self._count = self._count, 0
                try:
                    events = self._attempt(share, -1 if limit is None else limit)
                    for event in pass_over(sent, events) if sent else events:
                        if isinstance(event, Delta):
                            sent.append(event)
                        yield event
                    return
                except _BeginAnew:
                    stalls = 0
                except Unreadable:
                    if self._unread or self._task.must_call:
                        raise
                    self._unread = True
                except OutOfCells:
                    stalls = stalls + 1 if self._count <= most else 0
                    if stalls == _STALLS:
                        raise
                self._parted = True
        except Diverged as exc:
            raise EngineError("the answer came out another way when it had to begin anew") from exc
        finally:
            self._seat.cells = share.tokens
            self._cells.leave(share)

    def _attempt(self, share: Share, n_predict: int) -> Iterator[Event]:
        pieces = ChatPieces(self._task)
        reason: FinishReason = "length"
        try:
            with self._in_time() as work, contextlib.closing(self._ask(n_predict, work)) as chunks:
                for chunk in chunks:
                    if progress := chunk.get("prompt_progress"):
                        yield from self._tell(progress)
                    elif timings := chunk.get("timings"):
                        self._count = timings["predicted_n"]
                        self._read = self._read or time.monotonic()
                    for choice in chunk["choices"]:
                        yield from pieces.take(choice["delta"], self._count)
                        if choice["finish_reason"] in ("stop", "tool_calls"):
                            reason = "stop"
                    if pieces.finish:
                        break
                    if not self._cells.grow(share, self._prompt_tokens + self._count):
                        raise _BeginAnew
            yield from pieces.end(pieces.finish or reason, self._count)
        except JobCancelled:
            check(self._execution)
            yield from pieces.end("length", self._count)  # it is late
        except Unreadable:
            if self._count == n_predict:
                yield from pieces.end("length", self._count)
            elif pieces.calls:
                yield from pieces.end_unread(self._count)
            else:
                raise
        yield self._done()

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[Cancellable]:
        """Some work that is cancelled with the execution, and when it is late: llama.cpp may be silent by then."""
        work = Cancellation()
        late = threading.Timer(max(0.0, self._until - time.monotonic()), work.cancel)
        late.daemon = True
        late.start()
        self._execution.on_cancel(work.cancel)
        try:
            with self._server.listening(work):
                yield work
        finally:
            self._execution.forget(work.cancel)
            late.cancel()

    def _ask(self, n_predict: int, work: Cancellable) -> Generator[dict[str, Any], None, None]:
        """What llama.cpp says, in its chats' words; of an answer that it cannot read as it is."""
        more = {**_STREAM, "n_predict": n_predict}
        seconds = setup(self._task.sampling)
        if not self._unread:
            request = {**self._request, **more}
            yield from self._server.stream("/v1/chat/completions", request, work, seconds=seconds)
            return
        request = {**self._choosing, **more, "prompt": self._prompt}
        with contextlib.closing(self._server.stream("/completion", request, work, seconds=seconds)) as chunks:
            begun = False
            for chunk in chunks:
                text = chunk["content"] if begun else chunk["content"].lstrip()  # as its reader has it
                begun = begun or bool(text)
                end = None if not chunk["stop"] else "length" if chunk["stop_type"] == "limit" else "stop"
                chunk["choices"] = [{"delta": {"content": text}, "finish_reason": end}]
                yield chunk

    def _tell(self, progress: Mapping[str, int]) -> Iterator[Event]:
        if self._cached is None:
            self._cached, self._prompt_tokens = max(0, progress["cache"] - self._seat.read), progress["total"]
        if not self._parted and progress["processed"] < progress["total"] > progress["cache"] + self._batch:
            yield Progress(progress["processed"], progress["total"])
        if is_read(progress):
            self._read = self._read or time.monotonic()

    def _done(self) -> Done:
        usage = Usage(self._prompt_tokens, self._count, self._cached or 0)
        if self._parted or not self._read:
            return Done(usage)
        read = self._read - self._seat.since
        return Done(usage, Timings(read * 1000, (time.monotonic() - self._read) * 1000))


class _BeginAnew(Exception):
    """Older answers need the cells of this one, which begins anew when they are free."""
