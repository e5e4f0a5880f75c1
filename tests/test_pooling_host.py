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
from worker.engines.llama_cpp_pooling_host import PoolingHost
from worker.engines.pooling_wire import LENGTH, PooledInput, Pooling, receive, write


class Slow:
    """Has the batches computed which come, from the moment when it is told to."""

    def __init__(self) -> None:
        self.sizes = list[int]()
        self.go = threading.Event()

    def pool(self, sequences: list[list[int]]) -> npt.NDArray[np.float32]:
        self.sizes.append(len(sequences))
        self.go.wait(20)
        return np.array([[tokens[0], 0.0] for tokens in sequences], np.float32)


def ask(path: Path, question: object) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(str(path))
    connection.sendall(write(question))
    return connection


def test_who_asks_while_a_batch_is_computed_shares_the_next_one(short: Path) -> None:
    context: Any = Slow()
    host = PoolingHost(context, 100, normalised=False, chances=False)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path := short / "host.sock"))
        server.listen()
        threading.Thread(target=host.serve, args=(server,), daemon=True).start()  # which ends with the tests
        asked = [ask(path, Pooling([PooledInput([[10]])]))]
        wait_for(lambda: context.sizes, "the first batch")
        asked += [ask(path, Pooling([PooledInput([[10 + number]])])) for number in range(1, 6)]
        context.go.set()
        for number, connection in enumerate(asked):
            with connection:
                (size,) = LENGTH.unpack(receive(connection, LENGTH.size))
                [(place, count, vector)] = msgspec.msgpack.decode(receive(connection, size))
            assert (place, count, np.frombuffer(vector, "<f4")[0]) == (0, 1, 10 + number)
    assert context.sizes == [1, 5]
