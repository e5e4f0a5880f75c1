"""Clients that ask and do not read, and more of them than there is room for: what they hold is bounded."""

from __future__ import annotations

import resource
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest

from gateway.client import Client
from gateway.connections import LARGEST_BUFFER
from gateway.crowd import Crowd
from gateway.slices import RunQueue
from shared.config import Config
from shared.errors import TooManyConnections
from tests.calls import CHATS, ENDLESS, chat, problem, raw_post
from tests.stack import Process, Stack, running, wait_for

Connect = Callable[[str], tuple[Client, gevent.socket.socket]]

PATIENCE = 0.5
LARGE = chat(" ".join(["a" * 1000] * 500), stream=True)
"""Its answer is larger than all buffers."""
FULL = 90
"""From so many connections on a `Narrow` gateway has no room for more."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("readers"), client_timeout=PATIENCE, lease=30) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker()
        yield stack


def is_open(connection: socket.socket) -> bool:
    """Whether the gateway has not ended it."""
    poll = select.poll()
    poll.register(connection, select.POLLHUP | getattr(select, "POLLRDHUP", 0))
    return not poll.poll(0)


def test_a_client_that_does_not_read_is_cut_off(stack: Stack) -> None:
    with raw_post(stack, CHATS, {**LARGE, "n": 16}) as connection:
        wait_for(lambda: not is_open(connection), "the end")
    assert stack.http().post(CHATS, json=chat("Hello")).status_code == 200


def test_a_client_that_reads_in_small_bites_gets_all_of_it(stack: Stack) -> None:
    answer = b""
    with raw_post(stack, CHATS, LARGE) as connection:
        while b"data: [DONE]" not in answer[-100:] and (bite := connection.recv(4096)):
            answer += bite
            time.sleep(0.001)
    assert answer.count(b"a" * 1000) == 500
    assert b"data: [DONE]" in answer[-100:]


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_what_the_system_holds_of_an_answer_is_bounded(stack: Stack) -> None:
    def unsent() -> int:
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        mine = [line for line in lines if line[1].endswith(f":{stack.port:04X}")]
        return max((int(line[4].partition(":")[0], 16) for line in mine), default=0)

    with raw_post(stack, CHATS, LARGE) as connection:
        most = 0
        while is_open(connection):
            most = max(most, unsent())
    assert LARGEST_BUFFER // 4 < most <= 3 * LARGEST_BUFFER


class Narrow(Stack):
    """A stack whose processes may have few files open: a gateway of 100 connections."""

    def _start(self, command: list[str], **options: Any) -> Process:
        limit = (200, 200)
        return super()._start(command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit), **options)


def test_who_has_not_read_for_longest_makes_room(tmp_path: Path) -> None:
    stack = Narrow(tmp_path, grace=1)
    try:
        gateway = stack.start_gateway(processes=1)
        stack.start_worker()
        with ExitStack() as open_:
            clients = [open_.enter_context(raw_post(stack, CHATS, LARGE)) for _ in range(FULL)]
            wait_for(lambda: [*stack.jobs().values()].count("completed") == FULL, "the answers", 60)
            for _ in range(5):
                assert stack.http().post(CHATS, json=chat("Hello")).status_code == 200
            late = [open_.enter_context(raw_post(stack, CHATS, chat("Hello"))) for _ in range(10)]
            for client in late:
                assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
            gone = [number for number, client in enumerate(clients) if not is_open(client)]
            assert gone
            assert len(gone) < FULL
            gateway.terminate()
            gateway.wait(20)  # which waits for nobody else for long either
    finally:
        stack.close()


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"api_keys": "alice:alices-key,bob:bobs-key", "max_key_connections": 3, "echo_rate": 100}
    with running(tmp_path_factory.mktemp("keyed"), **settings) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker()
        yield stack


class TestKeys:
    def idle(self, stack: Stack, key: str) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", stack.port), timeout=20)
        connection.sendall(
            b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n" % key.encode()
        )
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        return connection

    def test_one_that_waits_for_a_request_makes_room_for_another_of_its_key(self, keyed: Stack) -> None:
        with ExitStack() as open_:
            bobs = open_.enter_context(self.idle(keyed, "bobs-key"))
            alices = [open_.enter_context(self.idle(keyed, "alices-key")) for _ in range(5)]
            assert [is_open(connection) for connection in alices] == [False, False, True, True, True]
            assert is_open(bobs)

    def test_one_that_leaves_is_noticed_behind_what_it_has_sent_too_early(self, keyed: Stack) -> None:
        with raw_post(keyed, CHATS, chat(ENDLESS), Authorization="Bearer bobs-key") as connection:
            wait_for(lambda: list(keyed.jobs().values()) == ["in_progress"], "the start")
            connection.sendall(b"GET ")
        wait_for(lambda: list(keyed.jobs().values()) == ["cancelled"], "the cancellation")

    def test_no_key_has_more_than_its_share(self, keyed: Stack) -> None:
        mine = {"Authorization": "Bearer alices-key"}
        with ExitStack() as open_:
            for _ in range(3):
                busy = open_.enter_context(raw_post(keyed, CHATS, chat(ENDLESS, stream=True), **mine))
                assert busy.recv(1000).startswith(b"HTTP/1.1 200 ")
            http = keyed.http()
            answer = http.get("/v1/models", headers=mine)
            assert problem(answer, 429)["code"] == "too_many_connections"
            assert answer.headers["retry-after"]
            assert http.get("/v1/models", headers={"Authorization": "Bearer bobs-key"}).status_code == 200
        wait_for(lambda: http.get("/v1/models", headers=mine).status_code == 200, "room")


class TestPeers:
    """Connections of the tests come from this machine, whose are not counted: so this is without a gateway."""

    @pytest.fixture
    def crowd(self) -> Crowd:
        return Crowd(100, Config(max_peer_connections=2, trusted_proxies="198.51.100.0/24"), RunQueue())

    @pytest.fixture
    def connect(self, crowd: Crowd) -> Iterator[Connect]:
        with ExitStack() as open_:

            def connect(address: str) -> tuple[Client, gevent.socket.socket]:
                here, there = map(open_.enter_context, gevent.socket.socketpair())
                return Client(here, crowd.peer(address), 30.0, crowd), there

            yield connect

    def test_one_that_waits_makes_room_for_another_of_its_address(self, crowd: Crowd, connect: Connect) -> None:
        (first, _), (second, kept), (other, others) = (connect(f"192.0.2.{number}") for number in (1, 1, 2))
        waiting = []
        for client in (first, other, second):
            crowd.enter(client)
            waiting.append(gevent.spawn(client.recv, 1))
            gevent.sleep(0)
        crowd.enter(connect("192.0.2.1")[0])
        assert waiting[0].get(timeout=10) == b""  # as if it had left
        for end, greenlet in ((others, waiting[1]), (kept, waiting[2])):
            end.sendall(b"x")
            assert greenlet.get(timeout=10) == b"x"

    def test_where_none_waits_the_last_is_refused(self, crowd: Crowd, connect: Connect) -> None:
        clients = [connect(f"2001:db8::{number}")[0] for number in (1, 2, 3)]
        for client in clients[:2]:
            crowd.enter(client)
        with pytest.raises(TooManyConnections):
            crowd.enter(clients[2])
        crowd.leave(clients[2])
        crowd.leave(clients[0])
        crowd.enter(clients[2])

    @pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "198.51.100.7", ""])
    def test_those_that_may_be_many_are_not_counted(self, crowd: Crowd, connect: Connect, address: str) -> None:
        for _ in range(5):
            crowd.enter(connect(address)[0])
