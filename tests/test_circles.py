"""What clients held while they were there goes at once when they have gone, without a garbage collector."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.calls import CHATS, ENDLESS, chat, post_later, raw_post, read
from tests.stack import Stack, children, wait_for

PATIENCE = 0.5
TIMES = 5


class Uncollected(Stack):
    """A stack whose gateway collects no garbage."""

    def start_gateway(self, processes: int = 1) -> None:  # type: ignore[override]  # fewer settings
        self.found = self.directory / "found"
        command = [sys.executable, "-P", str(Path(__file__).with_name("circles.py")), str(self.found), "gateway"]
        settings = {**self.settings, "gateway_processes": processes}
        environ = {**os.environ, **{f"INFERQ_{name.upper()}": str(value) for name, value in settings.items()}}
        self.gateway = self._start(command, env=environ)
        wait_for(lambda: self._get("/healthz"), "the gateway's answer")

    def circles(self) -> list[str]:
        """What a collector would find now."""
        self.found.unlink(missing_ok=True)
        [process] = children(self.gateway)
        os.kill(process, signal.SIGPROF)
        wait_for(self.found.exists, "the list")
        return self.found.read_text().splitlines()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Uncollected]:
    stack = Uncollected(tmp_path_factory.mktemp("circles"), client_timeout=PATIENCE, lease=30, echo_rate=2000)
    try:
        stack.start_gateway()
        stack.start_worker()
        yield stack
    finally:
        stack.close()


def _send(stack: Stack, blob: bytes) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as connection:
        connection.sendall(blob)
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


def stream(stack: Stack) -> None:
    assert read(stack, chat("a b c")).split() == ["a", "b", "c"]


def leave_a_stream(stack: Stack) -> None:
    with raw_post(stack, CHATS, chat(ENDLESS, stream=True)) as connection:
        assert b"on" in connection.recv(65_536)


def leave_while_waiting(stack: Stack) -> None:
    known = set(stack.jobs())
    with raw_post(stack, CHATS, chat(ENDLESS)):
        wait_for(lambda: stack.jobs().keys() - known, "the submission")


def leave_after_more(stack: Stack) -> None:
    """What was sent after the request is in front of the end."""
    with raw_post(stack, CHATS, chat(ENDLESS)) as connection:
        connection.sendall(b"x")


def leave_events(stack: Stack) -> None:
    http = stack.http()
    job_id = post_later(http, ENDLESS)
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        next(answer.iter_raw())
    http.delete(f"/v1/jobs/{job_id}")


def read_nothing(stack: Stack) -> None:
    """Until it is cut off."""
    with raw_post(stack, CHATS, chat("a " * 2000, n=8, stream=True)) as connection:
        connection.settimeout(20)
        wait_for(lambda: _is_cut(connection), "the end")


def _is_cut(connection: socket.socket) -> bool:
    try:
        connection.send(b"x")
    except OSError:
        return True
    return False


def ask_wrongly(stack: Stack) -> None:
    assert stack.http().post(CHATS, json=chat("a", n="x")).status_code == 400


def ask_for_nothing(stack: Stack) -> None:
    assert stack.http().get("/nowhere").status_code == 404


def talk_nonsense(stack: Stack) -> None:
    _send(stack, b"GARBAGE\r\n\r\n")


def spoil_chunks(stack: Stack) -> None:
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % CHATS.encode()
    _send(stack, head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nX\r\n")


@pytest.mark.parametrize(
    "client",
    [
        stream,
        leave_a_stream,
        leave_while_waiting,
        leave_after_more,
        leave_events,
        read_nothing,
        ask_wrongly,
        ask_for_nothing,
        talk_nonsense,
        spoil_chunks,
    ],
    ids=lambda client: client.__name__,
)
def test_nothing_stays(stack: Uncollected, client: Callable[[Stack], None]) -> None:
    stack.circles()
    for _ in range(1 if client is read_nothing else TIMES):
        client(stack)
    wait_for(lambda: not any(state in ("queued", "in_progress") for state in stack.jobs().values()), "the end of all")
    stack.http().get("/healthz")  # which leaves a circle of werkzeug's, or the test would see nothing
    found = stack.circles()
    assert [name for name in found if name.startswith("werkzeug.")]
    assert [name for name in found if name.startswith(("gateway.", "shared."))] == []
