"""Forms with a file from clients that send what they like, as fast as they like: nothing of them is left behind."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2 as httpx
import pytest

from gateway.forms import MOST_KEY_FORMS
from tests.raw_http import exchange
from tests.stack import API_KEYS, KEYS, Stack, children, running, wait_for

MB = 1_000_000
PATIENCE = 1.5
HEAD = b"--b\r\nContent-Disposition: form-data; name=purpose\r\n\r\nuser_data\r\n"
FILE = b'--b\r\nContent-Disposition: form-data; name=file; filename="a"\r\n\r\n'
END = b"\r\n--b--\r\n"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"api_keys": API_KEYS, "client_timeout": PATIENCE, "max_file_bytes": 160 * MB}
    with running(tmp_path_factory.mktemp("forms"), **settings) as stack:
        stack.start_gateway(processes=1)
        yield stack


def left(stack: Stack) -> list[Path]:
    """All files in the archive's blobs."""
    return [path for path in (Path(stack.settings["archive"]) / "blobs").rglob("*") if path.is_file()]


def head(name: str = "alice", *lines: str) -> bytes:
    usual = [f"Authorization: Bearer {KEYS[name]}", "Content-Type: multipart/form-data; boundary=b", "Host: localhost"]
    return "\r\n".join(["POST /v1/files HTTP/1.1", *usual, *lines, "", ""]).encode()


def connect(stack: Stack) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stack.port), timeout=30)


def status(connection: socket.socket) -> int:
    """Of the answer that comes, as a number; 0 where the connection ends without one."""
    line = connection.makefile("rb").readline()
    return int(line.split()[1]) if line else 0


@pytest.mark.parametrize(
    ("body", "least", "expected"),
    [
        (b"--b\r\nContent-Disposition: form-data; x=" + b"y" * MB, 100 * MB, 400),
        (b"x" * MB, 100 * MB, 400),
        (b"--b\r\nContent-Disposition: form-data; name=purpose\r\n\r\n" + b"x" * MB, 100 * MB, 400),
        (HEAD + FILE + b"x" * MB, len(HEAD) + len(FILE) + MB, 400),
        (HEAD + FILE + b"x" * MB + END + b"x" * MB, 100 * MB, 400),
        (HEAD + FILE + b"x", 10**12, 413),
        (HEAD[:20], 1000, 408),
    ],
    ids=["endless head", "no boundary", "huge field", "no end", "more after it", "too large", "stops"],
)
def test_a_hostile_form_is_refused_and_leaves_nothing(stack: Stack, body: bytes, least: int, expected: int) -> None:
    with connect(stack) as connection:
        connection.sendall(head("alice", f"Content-Length: {max(least, len(body))}") + body)
        assert status(connection) == expected
    assert left(stack) == []


@pytest.mark.parametrize("chunked", [True, False])
def test_who_leaves_in_the_middle_leaves_nothing(stack: Stack, chunked: bool) -> None:
    with connect(stack) as connection:
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {2 * MB}"
        body = HEAD + FILE + b"x" * MB
        connection.sendall(head("alice", length) + (b"%x\r\n%b\r\n" % (len(body), body) if chunked else body))
        wait_for(lambda: left(stack), "the beginning")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
    wait_for(lambda: not left(stack), "the end")
    with connect(stack) as connection:
        connection.sendall(head("alice", length) + body)
        connection.shutdown(socket.SHUT_WR)
        assert status(connection) in (0, 400)
    wait_for(lambda: not left(stack), "the end")


def test_bodies_in_chunks_and_those_that_wait_until_they_are_asked_for(stack: Stack) -> None:
    address, body = ("127.0.0.1", stack.port), FILE + b"hello" + b"\r\n" + HEAD + END[2:]
    usual = {"Authorization": f"Bearer {KEYS['alice']}", "Content-Type": "multipart/form-data; boundary=b"}
    for more, chunked in (({}, True), ({"expect": "100-continue"}, False), ({"expect": "100-continue"}, True)):
        answer = exchange(address, "POST /v1/files", {**usual, **more}, body, chunked=chunked)
        assert (answer.status, answer.json["bytes"], answer.json["purpose"]) == (200, 5, "user_data")
        remove(stack, "alice", answer.json["id"])
    with connect(stack) as connection:  # which is not asked for where it would be refused
        connection.sendall(head("alice", f"Content-Length: {10**12}", "Expect: 100-continue"))
        assert status(connection) == 413
    assert left(stack) == []


def remove(stack: Stack, name: str, file_id: str) -> None:
    answer = stack.http().delete(f"/v1/files/{file_id}", headers={"Authorization": f"Bearer {KEYS[name]}"})
    assert answer.status_code == 200


def send(stack: Stack, name: str, pieces: Iterator[bytes]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {KEYS[name]}", "Content-Type": "multipart/form-data; boundary=b"}
    return stack.http().post("/v1/files", content=pieces, headers=headers)


def small() -> Iterator[bytes]:
    yield HEAD + FILE + b"hello" + END


def test_a_flood_of_slow_files_takes_the_places_of_its_key_only(stack: Stack) -> None:
    """And those no longer than a few times a client's patience, however much came before they stopped."""
    with ExitStack() as flood:
        lines = [flood.enter_context(connect(stack)) for _ in range(MOST_KEY_FORMS)]
        for line in lines:
            line.sendall(head("alice", f"Content-Length: {9 * MB}") + HEAD + FILE + b"x" * MB)
        wait_for(lambda: len(left(stack)) == MOST_KEY_FORMS, "the flood")
        refused = send(stack, "alice", small())
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "gateway_busy")
        served = send(stack, "bob", small())
        assert served.status_code == 200
        remove(stack, "bob", served.json()["id"])
        assert [status(line) for line in lines] == [408] * MOST_KEY_FORMS
    assert left(stack) == []
    served = send(stack, "alice", small())
    assert served.status_code == 200
    remove(stack, "alice", served.json()["id"])


def memory(pid: int) -> int:
    """Bytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="where a process's memory is told")
def test_a_large_file_is_never_in_memory(stack: Stack) -> None:
    """Neither as it comes nor as it goes; and others are served meanwhile."""
    [process] = children(stack.gateway)
    piece = os.urandom(MB)
    send(stack, "bob", small())
    before, seen, over = memory(process), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            seen.append(memory(process))

    def large() -> Iterator[bytes]:
        yield HEAD + FILE
        yield from (piece for _ in range(128))
        assert stack.http().get("/healthz").status_code == 200
        yield END

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        file = send(stack, "alice", large()).json()
        assert file["bytes"] == 128 * MB
        headers = {"Authorization": f"Bearer {KEYS['alice']}"}
        with stack.http().stream("GET", f"/v1/files/{file['id']}/content", headers=headers) as answer:
            assert all(blob == piece for blob in answer.iter_bytes(MB))
    finally:
        over.set()
        watcher.join()
    assert max(seen) - before < 50 * MB
    remove(stack, "alice", file["id"])
