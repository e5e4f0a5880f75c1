"""A stream whose pieces go out by two ways, to a client that reads as it likes: all of them, once, and in order."""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Iterator
from contextlib import closing

import gevent
import gevent.socket
import pytest

from gateway import sse
from gateway.client import Client
from gateway.crowd import Crowd
from gateway.mailbox import Mailbox
from gateway.schemas import PAUSE
from gateway.shortcut import Shortcut
from gateway.slices import RunQueue
from shared.config import Config
from shared.protocol import Delta, Done, Event, Progress, Usage

SIGNS = re.compile(rb"<[SP]>|: [^\n<\[]*\n+")
"""Signs of life, progress and comments, as `lines` and `sse.body` tell them."""


def lines(event: Event) -> list[bytes]:
    match event:
        case Delta():
            return [b"<S>" if event is PAUSE else b"[%b]" % event.text.encode()]
        case Done():
            return [b"<END>"]
    return [b"<P>"]


class Eavesdropper(Shortcut):
    """Notes what a shortcut could send at once, and what not."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.sent = list[bool]()

    def send(self, piece: bytes) -> bool:
        self.sent.append(super().send(piece))
        return self.sent[-1]


class Stream:
    """One over a connection whose buffers are tiny, served as gunicorn does, with everything in a random order."""

    def __init__(self, number: int) -> None:
        self._random = random.Random(number)
        self._box = Mailbox("job", parts=True)
        self.words = list[bytes]()

    def run(self) -> tuple[bytes, list[bool]]:
        """The body as its client gets it, in chunks."""
        here, there = gevent.socket.socketpair()
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with closing(here), closing(there):
            client = Client(here, "", 30.0, Crowd(9, Config(), RunQueue()))
            ear, got = Eavesdropper(client), bytearray()
            tasks = (lambda: self._serve(client, ear), self._write, lambda: got.extend(b"".join(self._read(there))))
            gevent.joinall([gevent.spawn(task) for task in tasks], timeout=60, raise_error=True)
            return bytes(got), ear.sent

    def _pause(self, *seconds: float) -> None:
        gevent.sleep(self._random.choice(seconds))

    def _serve(self, client: Client, ear: Shortcut) -> None:
        end, progress = self._random.choice([sse.BLANK, sse.SINGLE]), self._random.random() < 0.5
        look = lambda: self._pause(0, 0.003)  # noqa: E731 - as asking Redis takes
        client.expect_body(held_back=False)
        for piece in sse.body(self._box, (), lines, look, end, progress=progress, shortcut=ear):
            if piece:
                client.sendall(b"%X\r\n%b\r\n" % (len(piece), piece))
        client.sendall(b"0\r\n\r\n")
        client.shutdown(socket.SHUT_WR)

    def _write(self) -> None:
        number = offset = 0
        for _ in range(60):
            events = list[Event]()
            for _ in range(self._random.choice([1, 1, 5, 20])):
                text = f"{number}:" + "x" * self._random.choice([0, 9, 99, 5000])
                self.words.append(b"[%b]" % text.encode())
                events.append(Delta(text, (1,), offset=offset))
                offset += len(text)
            events += [Progress(1, 2)] * self._random.choice([0, 0, 0, 1])
            self._box.put(number + 1, "x", events)
            number += len(events)
            self._pause(0, 0, 0.002, 0.01)
        self._box.put(number + 1, "x", [Done(Usage(1, 1))])

    def _read(self, connection: gevent.socket.socket) -> Iterator[bytes]:
        while bite := connection.recv(self._random.choice([9, 999, 65_536])):
            yield bite
            self._pause(0, 0, 0, 0, 0.002)


def unchunked(blob: bytes) -> bytes:
    body = b""
    while blob:
        size, _, blob = blob.partition(b"\r\n")
        piece, end, blob = blob[: (large := int(size, 16))], blob[large : large + 2], blob[large + 2 :]
        assert (len(piece), end) == (large, b"\r\n")
        body += piece
        assert bool(piece) == bool(blob), "the last chunk is the empty one"
    return body


def test_every_piece_comes_once_and_in_order_whichever_way_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "QUIET", 0.02)
    monkeypatch.setattr(sse, "LOOK", 0.005)
    sent = list[bool]()
    for number in range(8):
        stream = Stream(number)
        blob, more = stream.run()
        body = unchunked(blob)
        assert body.endswith(b"<END>"), number
        assert SIGNS.sub(b"", body).removesuffix(b"<END>") == b"".join(stream.words), number
        sent += more
    assert sent.count(True) > 50, "the shortcut was taken"
    assert sent.count(False) > 5, "and was left where the client did not read"
