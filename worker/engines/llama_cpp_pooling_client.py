"""The worker's end of the host that makes vectors: questions, each on a connection of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from shared.cancellation import NEVER, Cancellable, aborting, check
from shared.errors import EngineError, HostDied
from worker.engines.host import EngineHost
from worker.engines.pooling_wire import (
    LARGEST_TELLING,
    LENGTH,
    Counting,
    Marking,
    PooledInput,
    Pooling,
    Question,
    Tokenizing,
    receive,
    write,
)

_BATCHES = 3
"""Steps in which something is told: the batch that is being computed, and two of our own beside others'."""
_BYTES_A_SECOND = 50_000
"""How fast texts are read at the very least."""
_END = -1
_vectors = msgspec.msgpack.Decoder(list[tuple[int, int, bytes]])
_numbers = msgspec.msgpack.Decoder(list[int])
_tokens = msgspec.msgpack.Decoder(list[list[int]])


class PoolingClient:
    """May be used from several threads. Every method waits while the host is being restarted.

    They raise JobCancelled once `work` is cancelled, HostDied, with the tail of the host's log, when it dies meanwhile,
    and HostUnavailable when it cannot be started again.
    """

    def __init__(self, host: EngineHost) -> None:
        self._host = host

    def ask(self, path: str, body: Mapping[str, Any], work: Cancellable = NEVER) -> Any:
        """As `LlamaServer.ask`, of texts and the tokens that follow each: all that `LlamaText` asks for."""
        assert path == "/tokenize", "nothing else is asked"
        texts = [entry for entry in body["content"] if isinstance(entry, str)]
        begins, special = body["add_special"], body["parse_special"]
        (told,) = self._tell(Tokenizing(texts, begins, special), 1, _tokens, work)
        return {"tokens": [token for tokens in told for token in (*tokens, _END)]}

    def marks(self) -> list[list[int]]:
        """The tokens before, between and after a query and a document."""
        (told,) = self._tell(Marking(), 1, _tokens, NEVER)
        return told

    def count(self, readings: Sequence[PooledInput], work: Cancellable = NEVER) -> list[int]:
        """How many tokens each of them has."""
        (told,) = self._tell(Counting(list(readings)), 1, _numbers, work)
        return told

    def pool(self, readings: Sequence[PooledInput], work: Cancellable = NEVER) -> tuple[list[bytes], list[int]]:
        """The vector of each, and how many tokens were read. Raises EngineError where one is of no numbers."""
        vectors, counts, left = [b""] * len(readings), [0] * len(readings), set(range(len(readings)))
        for told in self._tell(Pooling(list(readings)), len(readings), _vectors, work):
            for place, count, vector in told:
                if not vector:
                    raise EngineError("what the model computes of a text are no numbers")
                vectors[place], counts[place] = vector, count
                left.discard(place)
        return vectors, counts

    def _tell(
        self, question: Question, count: int, decoder: msgspec.msgpack.Decoder[list[Any]], work: Cancellable
    ) -> Iterator[list[Any]]:
        """What is told, until that makes `count`; a list that is no vectors' counts as one."""
        connected, life = self._host.connect(work)
        asked, pulse = write(question), self._host.pulse
        try:
            with connected as connection, aborting(connection, work):
                seconds = len(asked) / _BYTES_A_SECOND
                with pulse.expect(_BATCHES, seconds):
                    connection.sendall(asked)
                while count > 0:
                    with pulse.expect(_BATCHES, seconds):
                        (size,) = LENGTH.unpack(receive(connection, LENGTH.size))
                        if size > LARGEST_TELLING:
                            raise ConnectionResetError("the host sends without end")
                        told = decoder.decode(receive(connection, size))
                    pulse.beat()
                    check(work)
                    count -= len(told) if decoder is _vectors else count
                    yield told
        except (OSError, ValueError) as exc:
            check(work)
            raise HostDied(self._host.obituary(life)) from exc
