"""Those who ask the host of vectors, and the lanes that answer them: threads that compute batches side by side.

What is asked is in `pooling_wire.py`. Of the lanes that compute nothing one listens: it takes in what has been asked
meanwhile, without waiting for more, and chooses a batch, of one input of each question in turn until it is full or its
share of all that waits. While it computes that, the next one listens. So a short question is answered after a batch or
two, beside however long ones. Who closes its connection is forgotten.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from worker.engines.pooling_lane import PoolingLane
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

MOST_SEQUENCES = 64
"""Inputs of a batch."""
SHARED = 128
"""Tokens of a batch of several inputs: each token of it is compared with all the others, also those of other inputs."""
_RECEIVED = 1 << 20
_MOMENT = 0.1
"""Seconds after which those who ask at the same time do so no longer."""

Batch = list[tuple["Asker", int, list[int]]]
"""Whose they are, their places there, and their tokens."""


@dataclass(eq=False)
class Asker:
    """One connection, and what it still has to be told."""

    connection: socket.socket
    received: bytearray = field(default_factory=bytearray)
    left: deque[tuple[int, list[int]]] = field(default_factory=deque)
    """Places of inputs, and their tokens."""
    telling: threading.Lock = field(default_factory=threading.Lock)


class PoolingHost:
    """`most` is how many tokens an input may have; `tokenize` is `PoolingContext.tokenize`, `marks` what that tells."""

    def __init__(
        self,
        lanes: Sequence[PoolingLane],
        threads: int,
        most: int,
        tokenize: Callable[..., list[int]],
        marks: list[list[int]],
    ) -> None:
        self._lanes, self._threads, self._most = lanes, threads, most
        self._tokenize, self._marks = tokenize, marks
        self._selector = selectors.DefaultSelector()
        self._turns: deque[Asker] = deque()
        self._listening = threading.Lock()
        self._busy: set[PoolingLane] = set()
        self._crowd, self._crowded = 1, 0.0

    def serve(self, server: socket.socket) -> None:
        server.setblocking(False)
        self._selector.register(server, selectors.EVENT_READ, server)
        for lane in self._lanes[1:]:
            threading.Thread(target=self._drive, args=(lane,), daemon=True).start()
        self._drive(self._lanes[0])

    def _drive(self, lane: PoolingLane) -> None:
        try:
            while True:
                with self._listening:
                    self._listen()
                    batch = self._choose()
                    self._busy.add(lane)
                    threads = self._threads // self._side_by_side()
                vectors = lane.vectors([tokens for _, _, tokens in batch], threads)
                self._busy.remove(lane)
                _tell(batch, vectors)
        except BaseException:  # noqa: BLE001 - whatever it is, the host is not to go on without a lane
            traceback.print_exc()
            os._exit(1)

    def _listen(self) -> None:
        """Until something is to be computed, and then until there is no more news: who connects has asked by the next
        look, and so shares the batch."""
        while news := self._selector.select(0 if self._turns else None):
            for key, _ in news:
                if isinstance(key.data, Asker):
                    self._hear(key.data)
                else:
                    connection, _ = key.data.accept()
                    self._selector.register(connection, selectors.EVENT_READ, Asker(connection))

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
                told = [self._tokenize(text.encode(), begins=begins, special=special) for text in texts]
                asker.connection.sendall(write(told))
            case Marking():
                asker.connection.sendall(write(self._marks))
            case Counting(readings):
                asker.connection.sendall(write([len(self._read(reading)) for reading in readings]))
            case Pooling(readings):
                for place, reading in enumerate(readings):
                    tokens = self._read(reading)
                    if not 0 < len(tokens) <= self._most:
                        raise ValueError("this was to be asked before")
                    asker.left.append((place, tokens))
                if asker.left:
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
            return self._tokenize(piece.encode(), begins=False, special=special)
        return piece

    def _choose(self) -> Batch:
        """What to compute next, of those whose turn it is; there is something."""
        batch: Batch = []
        free = len(self._lanes) - len(self._busy)
        share = min(MOST_SEQUENCES, -(-sum(len(asker.left) for asker in self._turns) // free))
        size, passed = 0, 0
        while passed < len(self._turns) and len(batch) < share:
            asker = self._turns[0]
            count = len(asker.left[0][1])
            if batch and size + count > SHARED:
                passed += 1
                self._turns.rotate(-1)
                continue
            passed, size = 0, size + count
            batch.append((asker, *asker.left.popleft()))
            if asker.left:
                self._turns.rotate(-1)
            else:
                self._turns.popleft()
        return batch

    def _side_by_side(self) -> int:
        """How many lanes compute, or did a moment ago: each has its share of the threads."""
        now, lanes = time.monotonic(), min(len(self._lanes), len(self._busy) + len(self._turns))
        if lanes >= self._crowd or now > self._crowded + _MOMENT:
            self._crowd, self._crowded = lanes, now
        return self._crowd

    def _drop(self, asker: Asker) -> None:
        self._selector.unregister(asker.connection)
        with suppress(ValueError):
            self._turns.remove(asker)
        with asker.telling:
            asker.connection.close()


def _tell(batch: Batch, vectors: Sequence[bytes]) -> None:
    told: dict[Asker, list[tuple[int, int, bytes]]] = {}
    for (asker, place, tokens), vector in zip(batch, vectors, strict=True):
        told.setdefault(asker, []).append((place, len(tokens), vector))
    for asker, answers in told.items():
        with suppress(OSError), asker.telling:  # whoever listens hears that it has left
            asker.connection.sendall(write(answers))
