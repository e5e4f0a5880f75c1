"""What is not HTTP is refused in fixed words: nothing of it is in the answer or in the log."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.calls import CHATS
from tests.logged import Logged
from tests.stack import wait_for

SECRET = b"my-secret"
"""What a client would rather not read in a log."""
POST = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % CHATS.encode()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    stack = Logged(tmp_path_factory.mktemp("malformed"), log_format="json", lease=30)
    try:
        stack.start_gateway(processes=1)
        yield stack
        assert not [line for line in stack.lines() if line["level"] == "ERROR"]
    finally:
        stack.close()


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"GET /api/chat?prompt=my-secret\r\n\r\n", "the request line"),
        (b"GET /\xff%b HTTP/1.1\r\n\r\n" % SECRET, "the request line"),
        (b"GET / %b\r\n\r\n" % SECRET, "the version"),
        (b"%b / HTTP/1.1\r\n\r\n" % SECRET, "the method"),
        (b"GET /%b HTTP/1.1\r\n\r\n" % (SECRET * 2000), "the request line is too long"),
        (POST + b"Authorization Bearer %b\r\n\r\n" % SECRET, "a header cannot be read"),
        (POST + b": Bearer %b\r\n\r\n" % SECRET, "a header cannot be read"),
        (POST + b"A(%b): x\r\n\r\n" % SECRET, "the name of a header"),
        (POST + b"X: y\r\n %b\r\n\r\n" % SECRET, "the next line"),
        (POST + b"X: %b\r\n\r\n" % (SECRET * 2000), "too long"),
        (POST + b"Expect: %b\r\n\r\n" % SECRET, "100-continue"),
        (POST + b"Content-Length: %b\r\n\r\n" % SECRET, "Content-Length"),
        (POST + b"Content-Length: %b\r\n\r\n" % (b"9" * 5000), "Content-Length"),
        (POST + b"Transfer-Encoding: %b\r\n\r\n" % SECRET, "no transfer coding"),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "no transfer coding"),
        (POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", "no transfer coding"),
        (POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "no transfer coding"),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n%b\r\n" % SECRET, "the size of a chunk"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n%b\r\n" % SECRET, "a chunk does not end"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1;\r%b\r\n" % SECRET, "the extension of a chunk"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n%b\r\n\r\n" % SECRET, "a header cannot be read"),
    ],
)
def test_nothing_of_it_is_told(stack: Logged, blob: bytes, reason: str) -> None:
    before = len(stack.log())
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as connection:
        connection.sendall(blob)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), answer
    assert b"connection: close" in head.lower()
    assert reason in json.loads(body)["error"]["message"]
    assert SECRET not in answer
    wait_for(lambda: "\n" in stack.log()[before:], "a line")
    assert SECRET.decode() not in stack.log()[before:]
    assert "Traceback" not in stack.log()[before:]
