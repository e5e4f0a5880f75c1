"""The streams of stored responses, told again: whoever reads them slowly holds little, and nobody waits for others."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

import gevent
import pytest
from openai import OpenAI

from gateway import sse
from gateway.answers import MOST_KEY_ANSWER_BYTES
from shared.protocol import Delta
from tests.stack import Stack

MB = 1_000_000


@pytest.mark.parametrize("told", [b"", b"x" * 100_000])
def test_others_have_their_turn_however_little_is_told(told: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.sse.time.sleep", gevent.sleep)  # as in a gateway
    turns = 0

    def other() -> None:
        nonlocal turns
        while turns < 100:
            turns += 1
            gevent.sleep(0)

    def lines(event: Delta) -> list[bytes]:
        end = time.monotonic() + 0.01
        while time.monotonic() < end:
            pass
        return [told] if told else []

    greenlet = gevent.spawn(other)
    assert b"".join(sse.replay([Delta("a")] * 5, lines)) == told * 5  # type: ignore[arg-type]  # it is given nothing but deltas
    assert turns >= 4
    greenlet.kill()


def test_what_unread_streams_hold_is_bounded(stack: Stack, client: OpenAI) -> None:
    """Of one key: more than there is room for are refused, before they begin, and not cut off in the middle."""
    response = client.responses.create(model="echo", input="w" * MB)
    room = 2 * MOST_KEY_ANSWER_BYTES // MB  # of two processes
    request = (
        f"GET /v1/responses/{response.id}?stream=true HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer test\r\n\r\n"
    )
    seen = list[int]()
    with ExitStack() as held:
        for _ in range(room + 10):
            connection = held.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(60)
            connection.connect((stack.host, stack.port))
            connection.sendall(request.encode())
            seen.append(int(connection.recv(12).split()[1]))
            if seen[-1] != 200:
                break
    assert seen[-1] == 503
    assert MOST_KEY_ANSWER_BYTES // MB <= len(seen) <= room + 10
    assert client.responses.retrieve(response.id).output_text == "w" * MB
