"""Those who ask the host of vectors at the same time share its batches."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tests.stack import wait_for
from worker.engines.pooling_host import PoolingHost
from worker.engines.pooling_lane import PoolingLane
from worker.engines.pooling_wire import LENGTH, PooledInput, Pooling, receive, write


class Slow:
    """Has the batches computed which come, from the moment when it is told to."""

    def __init__(self) -> None:
        self.sizes = list[int]()
        self.threads = list[int]()
        self.go = threading.Event()

    def pool(self, sequences: list[list[int]], threads: int) -> npt.NDArray[np.float32]:
        self.threads.append(threads)
        self.sizes.append(len(sequences))
        self.go.wait(20)
        return np.array([[tokens[0], 0.0] for tokens in sequences], np.float32)


def no_tokenizer(text: bytes, *, begins: bool, special: bool) -> list[int]:
    raise AssertionError("they ask with tokens")


def ask(path: Path, question: object) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(str(path))
    connection.sendall(write(question))
    return connection


def listen(path: Path, contexts: list[Any], threads: int) -> Path:
    """A host with so many lanes, which ends with the tests."""
    lanes = [PoolingLane(context, normalised=False, chances=False) for context in contexts]
    host = PoolingHost(lanes, threads, 100, no_tokenizer, [])
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    threading.Thread(target=host.serve, args=(server,), daemon=True).start()
    return path


def heard(connection: socket.socket, count: int) -> dict[int, float]:
    """What is told of so many inputs, by their places."""
    found: dict[int, float] = {}
    with connection:
        while len(found) < count:
            (size,) = LENGTH.unpack(receive(connection, LENGTH.size))
            for place, tokens, vector in msgspec.msgpack.decode(receive(connection, size)):
                assert tokens == 1
                found[place] = float(np.frombuffer(vector, "<f4")[0])
    return found


def test_who_asks_while_a_batch_is_computed_shares_the_next_one(short: Path) -> None:
    context: Any = Slow()
    path = listen(short / "host.sock", [context], 1)
    asked = [ask(path, Pooling([PooledInput([[10]])]))]
    wait_for(lambda: context.sizes, "the first batch")
    asked += [ask(path, Pooling([PooledInput([[10 + number]])])) for number in range(1, 6)]
    context.go.set()
    for number, connection in enumerate(asked):
        assert heard(connection, 1) == {0: 10 + number}
    assert context.sizes == [1, 5]


def test_lanes_compute_side_by_side_and_share_what_waits(short: Path) -> None:
    """Who is alone has all threads, until a lane beside has work."""
    contexts: list[Any] = [Slow(), Slow()]
    path = listen(short / "host.sock", contexts, 4)

    def begun() -> int:
        return sum(len(context.sizes) for context in contexts)

    alone = ask(path, Pooling([PooledInput([[7]])]))
    wait_for(lambda: begun() == 1, "the first batch")
    beside = ask(path, Pooling([PooledInput([[8]])]))
    wait_for(lambda: begun() == 2, "a batch beside it")
    assert sorted(context.threads[0] for context in contexts) == [2, 4]
    many = ask(path, Pooling([PooledInput([[number]]) for number in range(6)]))
    for context in contexts:
        context.go.set()
    assert heard(alone, 1) == {0: 7}
    assert heard(beside, 1) == {0: 8}
    assert heard(many, 6) == {number: number for number in range(6)}


def test_of_one_who_asks_much_every_lane_has_a_share(short: Path) -> None:
    contexts: list[Any] = [Slow(), Slow()]
    path = listen(short / "host.sock", contexts, 2)
    many = ask(path, Pooling([PooledInput([[number]]) for number in range(6)]))
    wait_for(lambda: all(context.sizes for context in contexts), "a batch of each lane")
    assert [*contexts[0].sizes, *contexts[1].sizes] == [3, 3]
    for context in contexts:
        context.go.set()
    assert heard(many, 6) == {number: number for number in range(6)}
