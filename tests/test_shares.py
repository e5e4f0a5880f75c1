"""One key's flood waits for itself: others are served in between, and what its clients have left is not done."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from gateway.answers import MOST_KEY_ANSWER_BYTES
from gateway.rows import MOST_KEY_REQUESTS
from gateway.single_flight import SingleFlight
from tests.calls import CHATS, chat, problem, raw_post
from tests.logged import Logged
from tests.stack import children, wait_for

FLOOD = 120
"""More than there are connections to Redis."""
MALLORYS, MINE = ({"Authorization": f"Bearer {name}s-key"} for name in ("mallory", "alice"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    keys = "alice:alices-key,mallory:mallorys-key"
    stack = Logged(tmp_path_factory.mktemp("shares"), api_keys=keys, log_format="json", lease=30)
    try:
        stack.start_gateway(processes=1)
        stack.start_worker()
        assert stack.http().post(CHATS, json=chat("Hello"), headers=MINE).status_code == 200
        stack.line(path=CHATS)
        yield stack
    finally:
        stack.close()


@contextmanager
def frozen(stack: Logged) -> Iterator[None]:
    """Within, Redis answers nobody: whatever the gateway has begun stays under way."""
    stack.valkey.send_signal(signal.SIGSTOP)
    try:
        yield
        time.sleep(0.5)  # what was sent is taken in
    finally:
        stack.valkey.send_signal(signal.SIGCONT)


def answered(stack: Logged, since: int) -> list[dict[str, Any]]:
    """The lines of chats that have ended, in that order."""
    return [line for line in stack.lines()[since:] if line.get("path") == CHATS]


def test_a_flood_is_served_and_others_before_most_of_it(stack: Logged) -> None:
    since = len(stack.lines())
    with ExitStack() as open_:
        with frozen(stack):
            flood = [open_.enter_context(raw_post(stack, CHATS, chat("Hello"), **MALLORYS)) for _ in range(FLOOD)]
            time.sleep(0.5)
            mine = open_.enter_context(raw_post(stack, CHATS, chat("Hello"), **MINE))
        assert mine.recv(12) == b"HTTP/1.1 200"
        assert {connection.recv(12) for connection in flood} == {b"HTTP/1.1 200"}
    wait_for(lambda: len(answered(stack, since)) == FLOOD + 1, "all lines")
    place = [line["key"] for line in answered(stack, since)].index("alice")
    assert place <= 4 * MOST_KEY_REQUESTS < FLOOD


def test_what_clients_have_left_while_they_waited_is_not_done(stack: Logged) -> None:
    since = len(stack.lines())
    with frozen(stack), ExitStack() as open_:
        for _ in range(FLOOD):
            open_.enter_context(raw_post(stack, CHATS, chat("Hello"), **MALLORYS))
        time.sleep(0.5)
    wait_for(lambda: len(answered(stack, since)) == FLOOD, "all lines")
    lines = answered(stack, since)
    undone = [line for line in lines if line["status"] == 499 and "job_id" not in line]
    assert FLOOD - MOST_KEY_REQUESTS <= len(undone) < FLOOD


def test_clients_that_send_slowly_take_nobodys_turn(stack: Logged) -> None:
    head = f"POST {CHATS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {MALLORYS['Authorization']}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    with ExitStack() as open_:
        for _ in range(2 * MOST_KEY_REQUESTS):
            slow = open_.enter_context(socket.create_connection(("127.0.0.1", stack.port), timeout=30))
            slow.sendall(head.encode())
        time.sleep(0.2)
        assert stack.http().post(CHATS, json=chat("Hello"), headers=MALLORYS).status_code == 200


def test_streams_and_waiting_clients_take_nobodys_turn(stack: Logged) -> None:
    with ExitStack() as open_:
        for number in range(3 * MOST_KEY_REQUESTS):
            body = chat("on and " * 10_000, stream=bool(number % 2))
            open_.enter_context(raw_post(stack, CHATS, body, **MALLORYS))
        http = stack.http()
        assert http.get("/v1/models", headers=MALLORYS).status_code == 200
        assert http.get("/v1/models", headers=MINE).status_code == 200


def test_answers_that_nobody_reads_are_bounded(stack: Logged) -> None:
    """Those of others are given meanwhile, and once they are gone, all are."""
    http, text = stack.http(), ("w" * 55 + " ") * 14_000
    job = http.post(CHATS, json=chat(text, max_tokens=14_000), headers={**MALLORYS, "Prefer": "respond-async"}).json()[
        "id"
    ]
    path = f"/v1/jobs/{job}"
    wait_for(lambda: http.get(path, headers=MALLORYS).json()["status"] == "completed", "the answer")
    most = MOST_KEY_ANSWER_BYTES // len(http.get(path, headers=MALLORYS).content)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {MALLORYS['Authorization']}\r\n\r\n".encode()
    with ExitStack() as open_:
        statuses = []
        for _ in range(most + 20):
            unread = open_.enter_context(socket.socket())
            unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            unread.settimeout(30)
            unread.connect(("127.0.0.1", stack.port))
            unread.sendall(request)
            statuses.append(int(unread.recv(12)[9:]))
        assert 1 <= statuses.count(200) <= most + 10
        assert statuses.count(503) == len(statuses) - statuses.count(200)
        assert problem(http.get(path, headers=MALLORYS), 503)["code"] == "gateway_busy"
        assert http.get("/v1/models", headers=MALLORYS).status_code == 200
        assert http.post(CHATS, json=chat(text, max_tokens=14_000), headers=MINE).status_code == 200
    wait_for(lambda: http.get(path, headers=MALLORYS).status_code == 200, "room")


def test_what_many_ask_at_once_is_found_out_once_for_all_of_them() -> None:
    begun, go, asked = threading.Event(), threading.Event(), list[int]()

    def ask() -> int:
        asked.append(len(asked))
        begun.set()
        assert go.wait(30)
        return asked[-1]

    answers: list[int] = []
    flight = SingleFlight(ask)
    threads = [threading.Thread(target=lambda: answers.append(flight())) for _ in range(10)]
    threads[0].start()
    assert begun.wait(30)
    for thread in threads[1:]:  # they want to know what is true now, not before
        thread.start()
    time.sleep(0.2)
    go.set()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == [0, *[1] * 9]


def test_a_job_whose_client_leaves_as_its_request_is_read_is_none(stack: Logged) -> None:
    since, sent = len(stack.lines()), json.dumps(chat("Hello")).encode()
    head = f"POST {CHATS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {MINE['Authorization']}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as leaving:
        leaving.sendall(head.encode() + sent[:1])
        time.sleep(0.5)  # its turn has come, and it was there
        [process] = children(stack.gateway)
        os.kill(process, signal.SIGSTOP)  # so that it finds both, the rest and the end
        try:
            leaving.sendall(sent[1:])
            leaving.close()
        finally:
            os.kill(process, signal.SIGCONT)
    [line] = wait_for(lambda: answered(stack, since), "its line")
    assert line["status"] == 499
    assert "job_id" not in line
