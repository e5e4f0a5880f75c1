"""Nobody keeps the gateway to himself: however much a connection asks for, all others have their turns in between."""

from __future__ import annotations

import re
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import count

import gevent
import gevent.socket
import httpx2 as httpx
import pytest

from gateway import slices
from gateway.client import LARGEST_FAREWELL
from gateway.incoming import LARGEST_MARKS
from gateway.packing import pack, unpack
from gateway.slices import RunQueue, TimeSlice
from shared.codec import encode, encode_given
from shared.protocol import Accepted, Chat, Delta, Kept, Options, Sampling, State
from tests.calls import CHATS, problem
from tests.logged import Logged
from tests.stack import wait_for

KEY = "alices-key"
MINE = {"Authorization": f"Bearer {KEY}"}
HEAD = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % CHATS.encode()
PIPELINED = b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    stack = Logged(tmp_path_factory.mktemp("slices"), api_keys=f"alice:{KEY}", log_format="json", lease=30)
    try:
        stack.start_gateway(processes=1)
        stack.start_worker()
        yield stack
    finally:
        stack.close()


def connect(stack: Logged) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stack.port), timeout=30)


def rest(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while piece := connection.recv(65_536):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def test_pipelined_requests_do_not_keep_others_waiting(stack: Logged) -> None:
    """Others are served after each few of them."""
    ended = threading.Event()

    def send(connection: socket.socket) -> None:
        with suppress(OSError):  # it is closed in the end
            while True:
                connection.sendall(PIPELINED * 1000)

    def read(connection: socket.socket) -> None:
        while not ended.is_set() and connection.recv(1 << 20):
            pass
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    with connect(stack) as connection:
        threads = [threading.Thread(target=work, args=(connection,)) for work in (send, read)]
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: stack.log().count('"/nowhere"') > 20, "the attack")
            http, before = stack.http(), len(stack.lines())
            for _ in range(20):
                assert http.get("/v1/models", headers=MINE).status_code == 200
        finally:
            ended.set()
            for thread in threads:
                thread.join()
    paths = [line["path"] for line in stack.lines()[before:] if "path" in line]
    last = max(number for number, path in enumerate(paths) if path == "/v1/models")
    attacks = paths[:last].count("/nowhere")
    assert 20 <= attacks < 20 * 50, f"{attacks} pipelined requests were answered in the time of 20 others"


def test_no_connection_is_passed_over_by_those_that_ask_again_at_once(stack: Logged) -> None:
    """A browser has six, and asks for the next file when one is there."""
    waiting, passed, worst = selectors.DefaultSelector(), dict[socket.socket, int](), 0
    with ExitStack() as open_ones:
        for _ in range(6):
            connection = open_ones.enter_context(connect(stack))
            waiting.register(connection, selectors.EVENT_READ)
            connection.sendall(PIPELINED)
            passed[connection] = 0
        for _ in range(100):
            for ready, _events in waiting.select():
                connection = next(each for each in passed if each is ready.fileobj)
                assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")
                connection.sendall(PIPELINED)
                passed = {each: 0 if each is connection else times + 1 for each, times in passed.items()}
                worst = max(worst, *passed.values())
    assert worst < 30


def test_a_refused_body_in_chunks_is_not_read(stack: Logged) -> None:
    """It would cost as much as if it were not refused. The answer is not lost by what is sent after it."""
    with connect(stack) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 10)
        assert connection.recv(9, socket.MSG_PEEK) == b"HTTP/1.1 "
        connection.sendall(b"1\r\n \r\n" * 100_000)
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer.lower()
    assert answer.count(b"HTTP/1.1") == 1


def test_after_its_last_answer_a_client_is_not_read_for_ever(stack: Logged) -> None:
    sent = 0
    with connect(stack) as connection, suppress(OSError):
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        while sent < 10 * LARGEST_FAREWELL:
            connection.sendall(b"1\r\n \r\n" * 10_000)
            sent += 60_000
    assert sent < 10 * LARGEST_FAREWELL


@pytest.mark.parametrize(("size", "status"), [(1, 400), (16, 200), (4096, 200)])
def test_chunks_must_be_worth_their_marks(stack: Logged, size: int, status: int) -> None:
    body = b'{"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}'
    body += b" " * (LARGEST_MARKS - len(body))
    chunk = b"%x\r\n%b\r\n"
    pieces = [chunk % (len(piece), piece) for piece in (body[at : at + size] for at in range(0, len(body), size))]
    with connect(stack) as connection:
        connection.sendall(HEAD + b"Authorization: Bearer %b\r\n" % KEY.encode())
        connection.sendall(b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(pieces) + b"0\r\n\r\n")
        answer = rest(connection)
    assert int(answer[9:12]) == status
    assert (b"chunks of its body are too small" in answer) == (status == 400)


def test_a_head_is_bounded_as_a_whole(stack: Logged) -> None:
    with connect(stack) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"X: %b\r\n" % (b"y" * 8000) * 20 + b"\r\n")
        head, _, body = rest(connection).decode().partition("\r\n\r\n")
    headers = dict(re.findall("(.+): (.+)\r", head + "\r"))
    assert "too many or too long" in problem(httpx.Response(400, headers=headers, text=body), 400)["message"]


@pytest.mark.parametrize("many", [1, 50])
def test_between_two_turns_everybody_else_is_served(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """In each round of the event loop one of those has a turn who have had one, however many they are."""
    monkeypatch.setattr(slices, "LONGEST_SLICE", 0.0)
    queue, done, numbers = RunQueue(), gevent.event.Event(), count()
    here, there = gevent.socket.socketpair()

    def work() -> None:
        slice_ = TimeSlice(queue)
        while not done.is_set():
            next(numbers)
            slice_.rest()

    def answer() -> None:
        while data := there.recv(1):
            there.sendall(data)

    greenlets = [*(gevent.spawn(work) for _ in range(many)), gevent.spawn(answer)]
    gevent.sleep(0.01)
    before = next(numbers)
    for _ in range(100):
        here.sendall(b"x")
        assert here.recv(1) == b"x"
    pieces = next(numbers) - before
    done.set()
    here.close()
    gevent.joinall(greenlets)
    there.close()
    assert pieces < 100 * 10


def test_a_stored_answer_keeps_nobody_waiting_while_it_is_unpacked() -> None:
    """After each slice of it the event loop looks for news."""
    given = tuple({"role": "user", "content": f"{number} " * 1000} for number in range(100))
    events = [encode([Delta(f"{number} " * 20) for number in range(1000)]) for _ in range(20)]
    kept = Accepted(Chat("m", (), Sampling(1)), 1, options=Options(kept=Kept(given)))
    blob = b"".join(pack(kept, State.COMPLETED, given, events))
    slices_of_it = (len(encode_given(given)) + sum(map(len, events))) // 100_000
    here, there = gevent.socket.socketpair()
    rounds = count()

    def talk() -> None:
        while here.send(b"x") and here.recv(1):
            next(rounds)

    def answer() -> None:
        while data := there.recv(1):
            there.sendall(data)

    talking = [gevent.spawn(talk), gevent.spawn(answer)]
    gevent.sleep(0.01)
    before = next(rounds)
    told = unpack([blob])
    after = next(rounds)
    gevent.killall(talking)
    here.close()
    there.close()
    assert told.given == given
    assert len(told.events) == 20_000
    assert 4 * (after - before) > slices_of_it > 20
