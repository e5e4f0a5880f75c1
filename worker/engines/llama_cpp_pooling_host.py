"""The child in which vectors are made: it reads many inputs in one batch of llama.cpp, whoever asked for them.

What it is asked is in `pooling_wire.py`. One thread does it all, in turns: it takes in what has been asked meanwhile,
without waiting for more, then computes one batch, of one input of each question in turn until it is full. So a short
question is answered after a batch or two, beside however long ones. Who closes its connection is forgotten.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.engines.child import SOCKET, HostEnd
from worker.engines.pooling_wire import (
    LARGEST_QUESTION,
    LENGTH,
    Counting,
    Marking,
    Piece,
    PooledInput,
    Pooling,
    Question,
    Tokenizing,
    read_question,
    write,
)
from worker.formats.gguf import read_header
from worker.formats.word_pieces import WordPieces

if TYPE_CHECKING:
    from worker.engines.libllama_pooling import PoolingContext

_TRIED = 8
"""Tokens that are read at the start."""
_RECEIVED = 1 << 20
_MOST_SEQUENCES = 64
_SHARED = 128
"""Tokens of a batch of several inputs: each token of it is compared with all the others, also those of other inputs."""
_PLAIN = 1024
"""Tokens of an input up to which attention is computed in 32 bits. What llama.cpp takes otherwise needs no memory that
grows with their square, but rounds by what shares the batch: cosines of 0.9998 for the same text in 8-bit weights."""
_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",  # a thread that waits for others leaves its core to whoever answers
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(eq=False)
class Asker:
    """One connection, and what it still has to be told."""

    connection: socket.socket
    received: bytearray = field(default_factory=bytearray)
    left: deque[tuple[int, list[int]]] = field(default_factory=deque)
    """Places of inputs, and their tokens."""


class PoolingHost:
    """`most` is how many tokens an input may have; the vectors are `normalised` to length 1, or `logits` of chances."""

    def __init__(self, context: PoolingContext, most: int, *, normalised: bool, chances: bool) -> None:
        self._context, self._most = context, most
        self._normalised, self._chances = normalised, chances
        self._selector = selectors.DefaultSelector()
        self._turns: deque[Asker] = deque()

    def serve(self, server: socket.socket) -> None:
        server.setblocking(False)
        self._selector.register(server, selectors.EVENT_READ)
        while True:
            # Until there is no more news: who connects has asked by the next look, and so shares the batch.
            while news := self._selector.select(0 if self._turns else None):
                for key, _ in news:
                    if key.data is None:
                        connection, _ = server.accept()
                        self._selector.register(connection, selectors.EVENT_READ, Asker(connection))
                    else:
                        self._hear(key.data)
            self._compute()

    def _hear(self, asker: Asker) -> None:
        try:
            said = asker.connection.recv(_RECEIVED)
            if not said:
                raise ConnectionResetError
            asker.received += said
            if len(asker.received) < LENGTH.size:
                return
            (size,) = LENGTH.unpack_from(asker.received)
            if size > LARGEST_QUESTION:
                raise ValueError
            if len(asker.received) >= LENGTH.size + size:
                self._begin(asker, read_question(asker.received[LENGTH.size :]))
                asker.received.clear()
        except (OSError, ValueError):
            self._drop(asker)

    def _begin(self, asker: Asker, question: Question) -> None:
        match question:
            case Tokenizing(texts, begins, special):
                told = [self._context.tokenize(text.encode(), begins=begins, special=special) for text in texts]
                asker.connection.sendall(write(told))
            case Marking():
                asker.connection.sendall(write(self._context.marks()))
            case Counting(readings):
                asker.connection.sendall(write([len(self._read(reading)) for reading in readings]))
            case Pooling(readings):
                for place, reading in enumerate(readings):
                    tokens = self._read(reading)
                    if not 0 < len(tokens) <= self._most:
                        raise ValueError("this was to be asked before")
                    asker.left.append((place, tokens))
                self._turns.append(asker)

    def _read(self, reading: PooledInput) -> list[int]:
        pieces = [self._tokens(piece, special=reading.marked) for piece in reading.pieces]
        if reading.cut is not None:
            own = len(pieces[reading.place])
            room = max(0, self._most - (sum(map(len, pieces)) - own))
            del pieces[reading.place][min(room, reading.cut) :]
        return [token for piece in pieces for token in piece]

    def _tokens(self, piece: Piece, *, special: bool) -> list[int]:
        if isinstance(piece, str):
            return self._context.tokenize(piece.encode(), begins=False, special=special)
        return piece

    def _compute(self) -> None:
        """One batch."""
        chosen: list[tuple[Asker, int, list[int]]] = []
        size, passed = 0, 0
        while passed < len(self._turns) and len(chosen) < _MOST_SEQUENCES:
            asker = self._turns[0]
            if not asker.left:
                self._turns.popleft()
                continue
            self._turns.rotate(-1)
            count = len(asker.left[0][1])
            if chosen and size + count > _SHARED:
                passed += 1
                continue
            passed, size = 0, size + count
            chosen.append((asker, *asker.left.popleft()))
        if chosen:
            self._tell(chosen, self._vectors([tokens for _, _, tokens in chosen]))

    def _vectors(self, sequences: list[list[int]]) -> list[bytes]:
        import numpy as np

        told = self._context.pool(sequences)
        bad = [place for place, row in enumerate(told) if not np.isfinite(row).all()]
        if len(sequences) > 1:  # one that is of no numbers makes those beside it so
            for place in bad:
                told[place] = self._context.pool([sequences[place]])
            bad = [place for place in bad if not np.isfinite(told[place]).all()]
        told[bad] = 0
        if self._normalised:
            lengths = np.linalg.norm(told, axis=1, keepdims=True)
            rows = (told / np.where(lengths > 0, lengths, 1)).astype("<f4")
        else:
            rows = told[:, :1].astype("<f4")
            if self._chances:
                sure = np.clip(told[:, :1].astype(np.float64), 1e-30, 1 - 1e-15)
                rows = np.log(sure / (1 - sure)).astype("<f4")
        return [b"" if place in bad else row.tobytes() for place, row in enumerate(rows)]

    def _tell(self, chosen: list[tuple[Asker, int, list[int]]], vectors: list[bytes]) -> None:
        told: dict[Asker, list[tuple[int, int, bytes]]] = {}
        for (asker, place, tokens), vector in zip(chosen, vectors, strict=True):
            told.setdefault(asker, []).append((place, len(tokens), vector))
        for asker, answers in told.items():
            try:
                asker.connection.sendall(write(answers))
            except OSError:
                self._drop(asker)

    def _drop(self, asker: Asker) -> None:
        self._selector.unregister(asker.connection)
        asker.connection.close()
        asker.left.clear()


def main() -> None:
    os.environ.update(_ENVIRONMENT)
    child = HostEnd()
    parameters: dict[str, Any] = child.parameters
    print(f"loading {parameters['path']}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is the host's log

    import numpy as np  # after `HostEnd`, which ties this process to the worker: imports take a while
    import xllamacpp.xllamacpp

    from worker.engines.libllama import ATTENTION_AUTO, ATTENTION_PLAIN, F16, F32, Library, UnknownLibrary

    child.confine()
    most, threads = parameters["context"], parameters["batch_threads"]
    batch = max(most, _SHARED)
    step = min(batch, parameters["step"]) if parameters["step"] else batch
    kind = F32 if parameters["exact"] else F16
    try:
        model = Library(xllamacpp.xllamacpp.__file__).load(parameters["path"], repacked=not parameters["exact"])
        context = model.pooling_context(
            parameters["lora"],
            n_ctx=batch,
            n_batch=batch,
            n_ubatch=step,
            n_outputs_max=batch,
            n_outputs_max_per_seq=batch,
            n_seq_max=_MOST_SEQUENCES,
            pooling_type=parameters["pooling"],
            n_threads=threads,
            n_threads_batch=threads,
            rope_freq_base=parameters["rope_freq_base"],
            rope_freq_scale=parameters["rope_freq_scale"],
            type_k=kind,
            type_v=kind,
            flash_attn_type=ATTENTION_PLAIN if parameters["exact"] or most <= _PLAIN else ATTENTION_AUTO,
            kv_unified=True,
        )
        header = read_header(path := Path(parameters["path"]))
        context.words = WordPieces(path, header) if header.tokenizer == "bert" else None
        tried, begun = min(_TRIED, most), time.monotonic()
        if not np.isfinite(context.pool([[0] * tried])).all():
            raise RuntimeError("what it computes are no numbers")
        seconds = (time.monotonic() - begun) * batch / tried
    except UnknownLibrary as exc:
        sys.exit(f"this version of xllamacpp has another llama.cpp than is known here: {exc}")
    except RuntimeError as exc:
        sys.exit(f"llama.cpp makes no vectors with this model: {exc}")
    host = PoolingHost(context, most, normalised=not parameters["ranks"], chances=parameters["chances"])
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(Path(parameters["directory"]) / SOCKET))
        server.listen()
        child.ready(seconds)
        host.serve(server)


if __name__ == "__main__":
    main()
