"""A context of libllama that is timed: one sequence, as long as one likes without reading all of it."""

from __future__ import annotations

import ctypes
import time
from typing import Any, NamedTuple

from worker.engines.libllama_layout import UnknownLibrary

READ = 128
"""Tokens that are really read, of which all others are copies."""


class Timing(NamedTuple):
    seconds: float
    share: float
    """How much of its threads' time they had cores for: 1 where nothing else was computed."""


class TimedContext:
    """Made by `MappedModel.timed_context`, of two sequences, for batches of so many tokens at most."""

    def __init__(self, library: Any, context: int, batch: int) -> None:
        self._library, self._context = library, context
        self._batch = library.llama_batch_init(batch, 0, 1)
        if self._batch.n_tokens or self._batch.embd or not (self._batch.token and self._batch.logits):
            raise UnknownLibrary("its llama_batch is another one")
        self._memory = library.llama_get_memory(context)

    def time(self, count: int, past: int, threads: int) -> Timing:
        """Read so many tokens after the first `past` ones; those after them are forgotten. Raises RuntimeError."""
        batch, library = self._batch, self._library
        library.llama_memory_seq_rm(self._memory, 0, past, -1)
        library.llama_set_n_threads(self._context, threads, threads)
        for i in range(count):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = i % 8, past + i, 1, i == count - 1
            batch.seq_id[i][0] = 0
        batch.n_tokens = count
        begun, spent = time.perf_counter(), time.process_time()
        status = library.llama_decode(self._context, batch)
        if not status and not library.llama_get_logits_ith(self._context, count - 1):  # which waits for them
            status = "no logits"
        seconds = max(time.perf_counter() - begun, 1e-6)
        if status:
            raise RuntimeError(f"llama_decode returned {status}")
        return Timing(seconds, min(1.0, (time.process_time() - spent) / (seconds * threads)))

    def state(self) -> bytes:
        """What its memory has of the sequence. Raises RuntimeError."""
        size = self._library.llama_state_seq_get_size(self._context, 0)
        memory = ctypes.create_string_buffer(size)
        if not size or self._library.llama_state_seq_get_data(self._context, memory, size, 0) != size:
            raise RuntimeError("its memory cannot be copied")
        return memory.raw

    def fill(self, depth: int) -> int:
        """Have the sequence, of which READ tokens are read, take `depth` cells, by copies; returns how many it takes.

        All of them have the places of the first: whoever reads on at READ looks at each cell, as far into a text.
        """
        state, filled = self.state(), READ
        while filled + READ <= depth:
            if not self._library.llama_state_seq_set_data(self._context, state, len(state), 1):
                break
            self._library.llama_memory_seq_cp(self._memory, 1, 0, -1, -1)
            self._library.llama_memory_seq_rm(self._memory, 1, -1, -1)
            filled += READ
        return filled
