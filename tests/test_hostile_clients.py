"""Clients that send slowly, without end, or ambiguously: they are cut off, and nobody else is kept waiting."""

from __future__ import annotations

import gzip
import json
import re
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.calls import CHATS, chat, problem, spoken
from tests.stack import Process, Stack, running, wait_for

PATIENCE = 0.5
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = json.dumps(chat("Hello")).encode()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("hostile"), client_timeout=PATIENCE, lease=30, max_body=4_194_304) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker()
        yield stack
        assert stack.http().post(CHATS, json=chat("Hello")).status_code == 200


def connect(stack: Stack) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stack.port), timeout=20)


def rest(connection: socket.socket) -> bytes:
    """What the gateway says until it closes the connection."""
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionResetError:  # it closes with our request half read
        pass
    return answer


def refused(answer: bytes, status: int) -> dict[str, Any]:
    """The error of an answer, which is the only one on its connection."""
    assert answer.count(b"HTTP/1.1") == 1, answer
    head, _, body = answer.decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers["Connection"].lower() == "close"
    return problem(httpx.Response(int(first.split()[1]), headers=headers, text=body), status)


class TestSlowSenders:
    @pytest.mark.parametrize(
        ("begin", "trickle"),
        [
            (b"G", b"G"),
            (POST, b"X: y\r\n"),
            (POST + b"Content-Length: 1000\r\n\r\n", b" "),
            (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
            (POST + b"Content-Length: 1000\r\n\r\n" + BODY, b""),
            (POST + b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n", b""),
        ],
        ids=["line", "headers", "body", "chunks", "half_a_body", "no_body"],
    )
    def test_are_cut_off(self, stack: Stack, begin: bytes, trickle: bytes) -> None:
        with connect(stack) as connection:
            connection.sendall(begin)
            connection.settimeout(0.05)
            end, answer = time.monotonic() + 20, b""
            while time.monotonic() < end:
                try:
                    connection.sendall(trickle)
                    piece = connection.recv(65536)
                except TimeoutError:
                    continue
                except (ConnectionResetError, BrokenPipeError):
                    break
                answer += piece
                if not piece:
                    break
            else:
                pytest.fail("it was not cut off")
        assert refused(answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n"), 408)["code"] == "request_timeout"

    def test_may_take_as_long_as_their_size_asks_for(self, stack: Stack) -> None:
        """100 kB in a second: too long for a short request, not for this one."""
        body = BODY + b" " * 100_000
        with connect(stack) as connection:
            connection.sendall(POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
            for start in range(0, len(body), 5000):
                connection.sendall(body[start : start + 5000])
                time.sleep(0.05)
            assert rest(connection).startswith(b"HTTP/1.1 200 ")

    def test_may_pause_between_requests(self, stack: Stack) -> None:
        http = stack.http()
        connections = []
        for _ in range(2):
            with http.stream("POST", CHATS, json=chat("Hello")) as response:
                connections.append(response.extensions["network_stream"].get_extra_info("client_addr"))
                response.read()
            time.sleep(2 * PATIENCE)
        assert connections[0] == connections[1]

    def test_do_not_keep_others_waiting(self, stack: Stack) -> None:
        with ExitStack() as open_:
            for begin in (*repeat(b"", 300), *repeat(POST, 300), *repeat(POST + b"Content-Length: 9\r\n\r\n", 300)):
                open_.enter_context(connect(stack)).sendall(begin)
            assert stack.http().post(CHATS, json=chat("Hello")).status_code == 200


class TestPatientClients:
    def test_may_read_slowly(self, stack: Stack) -> None:
        """The answer is larger than all buffers: the gateway waits for its reader, as long as its size asks for."""
        text = " ".join("a" * 5000)
        body = json.dumps(chat(text, stream=True, n=6, max_tokens=5000)).encode()
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            connection.connect(("127.0.0.1", stack.port))
            connection.sendall(POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            begin, answer = time.monotonic(), b""
            while piece := connection.recv(65_536, socket.MSG_WAITALL):
                answer += piece
                time.sleep(0.03)
            assert time.monotonic() - begin > 3 * PATIENCE
        assert len(answer) > 6_000_000
        assert spoken(map(json.loads, re.findall(rb"^data: ({.*})$", answer, re.MULTILINE))).count("a") == 6 * 5000

    def test_may_wait_long_for_their_answer(self, stack: Stack) -> None:
        stack.worker.send_signal(signal.SIGSTOP)
        threading.Timer(3 * PATIENCE, stack.worker.send_signal, [signal.SIGCONT]).start()
        begin = time.monotonic()
        assert stack.http().post(CHATS, json=chat("Hello")).status_code == 200
        assert time.monotonic() - begin > 3 * PATIENCE


class Narrow(Stack):
    """A stack whose processes may have few files open: a gateway of 100 connections."""

    def _start(self, command: list[str], **options: Any) -> Process:
        limit = (200, 200)
        return super()._start(command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit), **options)


def test_the_last_to_come_is_served_even_if_all_connections_are_taken(tmp_path: Path) -> None:
    stack = Narrow(tmp_path)
    try:
        stack.start_gateway(processes=1)
        stack.start_worker()
        with ExitStack() as open_:
            idle = [open_.enter_context(connect(stack)) for _ in range(300)]
            assert stack.http().post(CHATS, json=chat("Hello")).status_code == 200
            idle[0].settimeout(5)
            assert idle[0].recv(1) == b""  # it had waited for longest
            idle[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            assert rest(idle[-1]).startswith(b"HTTP/1.1 200 ")
    finally:
        stack.close()


@pytest.mark.parametrize("begin", [b"Content-Length: 1000000000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_body_without_end_is_not_read_to_its_end(stack: Stack, begin: bytes) -> None:
    piece, sent = b"10000\r\n" + b" " * 65536 + b"\r\n", 0
    with connect(stack) as connection, suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(POST + begin)
        while sent < 100_000_000:
            connection.sendall(piece)
            sent += len(piece)
    assert sent < 100_000_000


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
def test_a_packed_body_is_refused(stack: Stack, encoding: str) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    error = problem(stack.http().post(CHATS, content=bomb, headers=headers), 415)
    assert "Content-Encoding" in error["message"]
    plain = stack.http().post(CHATS, json=chat("Hello"), headers={"Content-Encoding": "identity"})
    assert plain.status_code == 200


SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: y\r\n Transfer-Encoding: chunked\r\n",
        b"X: y\nTransfer-Encoding: chunked\r\n",
        b"Host: other\r\n",
    ],
)
def test_a_request_of_unclear_length_ends_its_connection(stack: Stack, headers: bytes) -> None:
    with connect(stack) as connection:
        connection.sendall(POST + headers + b"\r\n0\r\n\r\n" + SMUGGLED)
        refused(rest(connection), 400)


def test_headers_are_bounded(stack: Stack) -> None:
    with connect(stack) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n")
        refused(rest(connection), 400)


def test_a_connection_is_good_for_the_next_request_after_a_refusal(stack: Stack) -> None:
    """What was not read of the refused body is not taken for a request."""
    with connect(stack) as connection:
        connection.sendall(POST.replace(b"json", b"text") + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED)
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = rest(connection)
    assert answer.count(b"HTTP/1.1 415 ") == answer.count(b"HTTP/1.1 200 ") == 1
    assert b'"object":"list"' in answer.replace(b" ", b"")


def test_a_large_request_may_follow_one_that_was_too_large(stack: Stack) -> None:
    http, body = stack.http(), BODY + b" " * 4_000_000
    headers = {"Content-Type": "application/json"}
    for _ in range(2):
        problem(http.post(CHATS, content=body + b" " * 20_000_000, headers=headers), 413)
        assert http.post(CHATS, content=body, headers=headers).status_code == 200


def test_the_gateway_ends_at_once_under_slow_clients(tmp_path: Path) -> None:
    with running(tmp_path, grace=30) as stack, ExitStack() as open_:
        gateway = stack.start_gateway(processes=1)
        for begin in (b"", POST):
            open_.enter_context(connect(stack)).sendall(begin)
        wait_for(lambda: stack.http().get("/healthz").status_code == 200, "an answer")
        gateway.terminate()
        gateway.wait(15)
