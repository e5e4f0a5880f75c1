"""Prompts that llama.cpp need not read again, for somebody has read their beginnings: these are kept on disk.

What a prompt begins with is read as a request of its own, and saved before its answer starts: nothing can be saved of a
slot that is computing. Whatever is wrong with a snapshot or with the disk, the prompt is read as if there were none.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.cancellation import NEVER, Cancellable, check
from shared.errors import HostDied, InferqError, JobCancelled
from shared.loops import Loop
from shared.protocol import Chat, Event, FineCompletion, Progress, TextTask
from worker.engines import UNTOLD
from worker.engines.cells import Cells
from worker.engines.host import EngineHost
from worker.engines.llama_cpp_reading import STREAM, is_far
from worker.engines.llama_cpp_seat import Seat
from worker.engines.llama_cpp_server import OutOfCells
from worker.engines.llama_cpp_state import SlotState
from worker.engines.llama_cpp_text import LlamaText
from worker.prefixes.chain import BLOCK, GAIN, LEAST, Chain, link
from worker.prefixes.folder import Promise, Promised, SnapshotFolder
from worker.prefixes.snapshot import Snapshot

log = logging.getLogger(__name__)

_PART = 16
"""What an idle seat knows is written for one part in so many that is new, or LEAST: less is soon read again."""
_SWEEPING = 600.0
"""Seconds between two looks for what is too old."""
_LOOKS = 3
"""For a snapshot, where a longer one has taken the place of what was found."""
_ENDLESS = 1 << 30
"""Tokens of an answer without a limit: its context has less."""


@dataclass(frozen=True, slots=True)
class _KnownPrompt:
    """A prompt that is to be read in a seat."""

    seat: Seat
    prompt: Sequence[int]
    chain: Chain
    place: Path
    work: Cancellable
    until: float
    """Monotonic."""
    most: int
    """Tokens that there may be at the end of its answer."""


class LlamaPrefixes:
    """Of one model, whose chains begin with its `identity`. Without a folder nothing is kept."""

    def __init__(
        self,
        host: EngineHost,
        text: LlamaText,
        cells: Cells,
        folder: SnapshotFolder | None,
        identity: str,
        batch: int,
    ) -> None:
        self._host, self._text, self._cells = host, text, cells
        self._folder, self._identity, self._batch = folder, identity, batch
        self._sweeping = Loop("prefixes", self._sweep, pause=_SWEEPING)
        if folder:
            self._sweeping.start()

    def close(self) -> None:
        self._sweeping.stop()

    def _sweep(self) -> None:
        if self._folder:
            self._folder.bounds.sweep()

    def provide(
        self,
        seat: Seat,
        task: TextTask,
        texts: Sequence[str],
        prompt: Sequence[int],
        work: Cancellable,
        until: float,
    ) -> Iterator[Event]:
        """Have the slot know as much of the prompt as anybody has read, and others what is read of it now. `texts` are
        those that the prompt was made of. Tells how far it is.

        Raises JobCancelled, HostDied and HostUnavailable.
        """
        if self._folder is None:
            return
        seat.kept = task.sampling.caching.kept and not _is_infill(task)
        if len(prompt) <= GAIN or not task.sampling.cache_prompt:
            return
        try:
            limit = task.sampling.max_tokens
            most = _ENDLESS if limit is None else len(prompt) + limit
            chain, place = self._chain(self._folder, seat, prompt)
            reading = _KnownPrompt(seat, prompt, chain, place, work, until, most)
            self._recall(self._folder, reading)
            if seat.kept and len(prompt) >= LEAST:
                for end in self._ends(task, texts, len(prompt), work):
                    yield from self._keep(self._folder, reading, min(end, len(prompt) - 1) // BLOCK)
        except (OSError, OutOfCells, _Late) as exc:
            log.info("a prefix is not kept: %s", exc)

    def _ends(self, task: TextTask, texts: Sequence[str], size: int, work: Cancellable) -> Iterator[int]:
        """How much of the prompt others may begin with: what comes before the last message, and all of it."""
        if isinstance(task, Chat) and (said := task.messages[-1].content.strip()):
            before, found, after = "".join(texts).rpartition(said)
            if found and before:
                yield size - len(self._text.tokens([found + after], work, begins=False))
        yield size

    def put_away(self, seat: Seat) -> bool:
        """Have most of what an idle seat knows on disk; whether it is there now. An answer is its owner's alone."""
        folder, told = self._folder, seat.tokens[: seat.asked if seat.public else -1]  # the last has not been computed
        if folder is None or len(told) < GAIN or UNTOLD in told:
            return False
        try:
            chain, place = self._chain(folder, seat, told)
            new = len(chain) * BLOCK - (known := folder.covered(place, chain))
            if seat.public or new < max(BLOCK, min(LEAST, len(told) // _PART)):
                return new <= LEAST
            with self._state(seat).save() as (state, count):
                chain = chain[: count // BLOCK]
                if not 0 <= count - len(chain) * BLOCK < BLOCK < count:  # there is more than was told
                    return False
                with folder.promise(place, chain, known, LEAST) as promise:
                    return promise.keep(state, NEVER, asked=False)
        except (OSError, InferqError, Promised) as exc:
            log.info("an idle seat stays: %s", exc)
            return False

    def _chain(self, folder: SnapshotFolder, seat: Seat, tokens: Sequence[int]) -> tuple[Chain, Path]:
        """Of tokens that whoever has the seat asks of, and where his snapshots are."""
        owner, key = seat.holder or ("", "")
        return link(folder.seed("chain", self._identity, owner, key), tokens), folder.place(owner)

    def _keep(self, folder: SnapshotFolder, reading: _KnownPrompt, blocks: int) -> Iterator[Event]:
        """Have a snapshot of so many blocks, where that pays: it is made here, or somebody makes it."""
        chain = reading.chain[:blocks]
        while blocks * BLOCK - (known := folder.covered(reading.place, chain)) >= LEAST:
            try:
                with folder.promise(reading.place, chain, known, LEAST) as promise:
                    self._enter(reading)
                    yield from self._read(reading, promise)
                    self._save(reading, promise)
                    return
            except Promised as promised:
                self._cells.leave(reading.seat.share)  # whoever reads may need them
                if not folder.wait(promised, reading.work):
                    return
                self._recall(folder, reading)

    def _enter(self, reading: _KnownPrompt, tokens: int = 0) -> None:
        """Have room for so many tokens, and for what the answer will ask for: where it had to wait for more, others
        could empty its seat meanwhile. Raises _Late."""
        share = reading.seat.share
        share.tokens = max(tokens, len(reading.prompt), reading.seat.cells)
        share.most = reading.most
        if not self._cells.enter(share, reading.work, reading.until):
            raise _Late("there was no room")

    def _recall(self, folder: SnapshotFolder, reading: _KnownPrompt) -> None:
        """Restore the snapshot that has most of the prompt, where it has more of it than the slot: what that knows
        others may have emptied until there is room."""
        for _ in range(_LOOKS):
            most, snapshot = folder.find(reading.place, reading.chain)
            if snapshot is None or most < GAIN:
                return
            self._enter(reading, snapshot.tokens + BLOCK)
            if most < reading.seat.known + GAIN:
                folder.touch(snapshot)
            elif not self._restore(folder, reading, snapshot, most):
                continue
            return

    def _restore(self, folder: SnapshotFolder, reading: _KnownPrompt, snapshot: Snapshot, most: int) -> bool:
        """False where it has been replaced."""
        seat, work = reading.seat, reading.work
        seat.cells = max(seat.cells, snapshot.tokens + BLOCK)
        try:
            restored = self._state(seat).restore(lambda state: snapshot.read(state, lambda: check(work)), work)
        except FileNotFoundError:
            return False
        except JobCancelled:
            raise
        except (InferqError, OSError) as exc:
            log.warning("a snapshot of %d tokens was refused: %s", snapshot.tokens, exc)
            seat.known = seat.cells = 0
            if isinstance(exc, HostDied):  # of it, perhaps
                folder.drop(snapshot)
            return True
        if restored is not None and snapshot.is_of(restored):
            seat.known, seat.cells = most, restored
            folder.touch(snapshot)
        else:
            log.warning("a snapshot of %d tokens is spoiled", snapshot.tokens)
            folder.drop(snapshot)
        return True

    def _read(self, reading: _KnownPrompt, promise: Promise) -> Iterator[Event]:
        seat, tokens = reading.seat, reading.prompt[: promise.tokens]
        seat.cells = max(seat.cells, len(tokens))
        request = {**STREAM, "prompt": tokens, "n_predict": 1, "temperature": 0.0, "cache_prompt": True}
        cached = 0
        with contextlib.closing(seat.server.stream("/completion", request, reading.work)) as chunks:
            for chunk in chunks:
                promise.renew()
                if progress := chunk.get("prompt_progress"):
                    cached = progress["cache"]
                    if is_far(progress, self._batch):
                        yield Progress(progress["processed"], len(reading.prompt))
                if time.monotonic() >= reading.until:
                    raise _Late("its time is over")
        seat.read += len(tokens) - cached
        seat.known = seat.cells = len(tokens)

    def _save(self, reading: _KnownPrompt, promise: Promise) -> None:
        try:
            with self._state(reading.seat).save(reading.work) as (state, _):
                promise.keep(state, reading.work)
        except JobCancelled:
            raise
        except InferqError as exc:
            log.warning("a prefix of %d tokens was not saved: %s", promise.tokens, exc)

    def _state(self, seat: Seat) -> SlotState:
        return SlotState(seat.server, self._host, seat.number)


def _is_infill(task: TextTask) -> bool:
    """Of which each key that is pressed makes another one."""
    return isinstance(task, FineCompletion) and task.suffix is not None


class _Late(Exception):
    """The answer goes on without it, and ends soon."""
