"""HTTP at the socket: whatever bytes come, in whatever pieces, the gateway lives, answers or ends the connection.

    python -m tests.fuzz.http [--seconds 60] [--seed S]

Requests that are sound get their right answers, in order, however they are cut; spoiled ones are never a 500, a stack
trace, or a word of theirs in the log. The same seed draws the same connections.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.calls import CHATS, chat
from tests.logged import Logged
from tests.stack import children

PROMPT, KEY = "wintergreen", "sesame-opens-nothing"
"""What is in the requests and must not be in the log."""
PATIENCE = 0.5
"""Seconds that the gateway gives a request to arrive."""
_COMMON = b"Host: localhost\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n"
_PIECES = (
    *(
        b"",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\0",
        b"\xff",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"%00",
        b"%",
        b"//",
        b"?",
        b"#",
    ),
    *(b"0\r\n\r\n", b"1\r\n", b"ffffffffffffffffffff\r\n", b"-1\r\n", b'2;x="\r\n', b"5\r\nhello\r\n", b"9" * 5000),
    *(b"Content-Length: 5\r\n", b"Content-Length: 99999999999999999999\r\n", b"Content-Length: \xb2\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: identity\r\n"),
    *(
        b"Host: [::\r\n",
        b"Host: a:b:c\r\n",
        b"Host: \xe9\r\n",
        b"Host:\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\n",
    ),
    *(b"Upgrade: h2c\r\n", b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n", b"Expect: 100-continue\r\n", b"Expect: x\r\n"),
    *(b"SCRIPT_NAME: /x\r\n", b"X-Forwarded-Proto: https\r\n", b"X-Forwarded-For: ::1, \xff\r\n", b'Cookie: a="\\\r\n'),
    *(b"Accept: q=;*/*;q=x\r\n", b"Range: bytes=9-1\r\n", b"If-Modified-Since: x\r\n", b"Last-Event-ID: x\r\n"),
    *(b"Content-Type: application/json; charset=\xff\r\n", b"Content-Encoding: gzip\r\n", b"Prefer: respond-async\r\n"),
    *(
        b" HTTP/1.0\r\n",
        b" HTTP/2.0\r\n",
        b" HTTP/0.9\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
    ),
    *(
        b"GET http://[/ HTTP/1.1\r\n",
        b"GET http://a:x/v1 HTTP/1.1\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n",
        b"HEAD ",
        b"DELETE ",
    ),
    *(b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", b"\x16\x03\x01\x02\x00\x01", b"X: y\r\n" * 110, b"X: " + b"y" * 9000),
)


class Request(NamedTuple):
    """A sound one, and what its answer must be."""

    blob: bytes
    status: int
    marker: bytes


def _chunked(body: bytes, sizes: list[int], extension: bytes, trailers: bytes) -> bytes:
    chunks = b""
    for size in sizes:
        piece, body = body[:size], body[size:]
        if piece:
            chunks += b"%x%b\r\n%b\r\n" % (len(piece), extension, piece)
    if body:
        chunks += b"%x\r\n%b\r\n" % (len(body), body)
    return chunks + b"0\r\n" + trailers + b"\r\n"


@st.composite
def _chats(draw: st.DrawFn) -> Request:
    name = f"{PROMPT}{draw(st.integers(0, 10**6))}"
    body = json.dumps(chat(name, max_tokens=5)).encode()
    if not draw(st.booleans()):
        body = body[:-1]  # which is no JSON
    head = b"POST %b HTTP/1.1\r\n%bContent-Type: application/json\r\n" % (CHATS.encode(), _COMMON)
    if draw(st.booleans()):
        head += b"Content-Length: %d\r\n\r\n" % len(body)
        rest = body
    else:
        head += b"transfer-encoding: Chunked\r\n\r\n"
        extension = draw(st.sampled_from([b"", b";a=b", b' ; a="b c"', b";a"]))
        trailers = draw(st.sampled_from([b"", b"X-Sum: 1\r\n"]))
        rest = _chunked(body, draw(st.lists(st.integers(1, 40), max_size=8)), extension, trailers)
    status = 200 if body.endswith(b"}") and body.count(b"}") == 2 else 400
    return Request(head + rest, status, name.encode() if status == 200 else b"invalid_json")


def _get(path: bytes, status: int, marker: bytes, method: bytes = b"GET") -> Request:
    return Request(b"%b %b HTTP/1.1\r\n%b\r\n" % (method, path, _COMMON), status, marker)


_SOUND = st.one_of(
    _chats(),
    st.sampled_from(
        [
            _get(b"/healthz", 200, b""),
            _get(b"/v1/models", 200, b'"list"'),
            _get(b"/v1/models/echo", 200, b'"echo"'),
            _get(b"/v1/nowhere", 404, b"Unknown URL"),
            _get(b"/v1/models", 405, b"not allowed", b"DELETE"),
            Request(b"\r\n" + _get(b"/v1/models", 200, b"").blob, 200, b'"list"'),
            Request(
                _get(b"/v1/models", 200, b"", b"PUT").blob[:-2] + b"Content-Length: 3\r\n\r\nabc", 405, b"not allowed"
            ),
        ]
    ),
)
_LAST = _get(b"/v1/models/echo", 200, b'"echo"').blob[:-2] + b"Connection: close\r\n\r\n"


def _cut(blob: bytes, places: list[int]) -> list[bytes]:
    """Pieces of it, cut at these places."""
    edges = sorted({0, len(blob), *(place % (len(blob) + 1) for place in places)})
    return [blob[start:end] for start, end in itertools.pairwise(edges)]


_PLACES = st.lists(st.integers(0, 10**6), max_size=12)
_DAMAGE = st.lists(
    st.one_of(
        st.tuples(st.just(True), st.integers(0, 10**6), st.just(0), st.sampled_from(_PIECES)),
        st.tuples(
            st.just(False),
            st.integers(0, 10**6),
            st.integers(0, 20),
            st.one_of(st.sampled_from(_PIECES), st.binary(max_size=8)),
        ),
    ),
    min_size=1,
    max_size=4,
)
Damage = list[tuple[bool, int, int, bytes]]


def _spoil(blob: bytes, damage: Damage) -> bytes:
    """At each place, which may be the beginning of a line, so many bytes become others."""
    for at_line, place, length, piece in damage:
        starts = [0, *(found.end() for found in re.finditer(b"\r\n", blob))]
        start = starts[place % len(starts)] if at_line else place % (len(blob) + 1)
        blob = blob[:start] + piece + blob[start + length :]
    return blob


class Fuzz:
    """A gateway, and what has been sent to it."""

    def __init__(self, stack: Logged) -> None:
        self.stack = stack
        self.statuses: Counter[int] = Counter()
        self.sound = self.spoiled = 0
        self._processes = children(stack.gateway)
        self._read = 0

    def send_sound(self, requests: list[Request], places: list[int]) -> None:
        """Several in one connection; each gets its answer."""
        blob = b"".join(request.blob for request in requests) + _LAST
        answers = self._exchange(_cut(blob, places), leave=False).split(b"HTTP/1.1 ")[1:]
        expected = [(request.status, request.marker) for request in requests] + [(200, b'"echo"')]
        assert [int(answer[:3]) for answer in answers] == [status for status, _ in expected], answers
        for answer, (_, marker) in zip(answers, expected, strict=True):
            assert marker in answer
        self.sound += 1

    def send_spoiled(self, requests: list[Request], damage: Damage, places: list[int]) -> None:
        """Some of them may be answered, until one is refused."""
        blob = _spoil(b"".join(request.blob for request in requests), damage)
        answer = self._exchange(_cut(blob, places), leave=True)
        statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]
        assert all(status < 500 for status in statuses), (blob, answer)
        self.statuses.update(statuses)
        self.spoiled += 1

    def check(self) -> None:
        """Nothing has died, and nothing was logged that should not be."""
        for process in self._processes:
            os.kill(process, 0)  # raises ProcessLookupError where it has died
        text = self.stack.log()[self._read :]
        text = text[: text.rfind("\n") + 1]  # of a line that is being written the rest comes later
        self._read += len(text)
        told = [line for line in text.splitlines() if " INFO " not in line]
        assert not [line for line in told if "refused: " not in line], told
        assert not [line for line in told if PROMPT in line or KEY in line or "wintergr" in line], told

    def _exchange(self, pieces: list[bytes], *, leave: bool) -> bytes:
        """Send these, and read until the gateway closes the connection."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.stack.port), timeout=30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for piece in pieces:
                    connection.sendall(piece)
                if leave:
                    connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65_536):
                    answer += piece
            except TimeoutError:
                pytest.fail("the connection does not end")
            except OSError:  # it was ended before all was sent
                pass
        return answer


def run(fuzz: Fuzz, seed: int, examples: int) -> None:
    """Send so many connections of each kind. Raises AssertionError with the shortest of those that fail."""
    requests = st.lists(_SOUND, min_size=1, max_size=4)

    def sound(several: list[Request], places: list[int]) -> None:
        fuzz.send_sound(several, places)
        fuzz.check()

    def spoiled(several: list[Request], damage: Damage, places: list[int]) -> None:
        fuzz.send_spoiled(several, damage, places)
        fuzz.check()

    _explore(given(requests, _PLACES)(sound), seed, examples)
    _explore(given(requests, _DAMAGE, _PLACES)(spoiled), seed, examples)


def _explore(test: Callable[[], None], seed: int, examples: int) -> None:
    options = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    options(hypothesis.seed(seed)(test))()


def start(directory: Path) -> Logged:
    """What is fuzzed: one process, and a worker."""
    stack = Logged(directory, client_timeout=PATIENCE, lease=30)
    stack.start_gateway(processes=1)
    stack.start_worker()
    return stack


@click.command()
@click.option("--seconds", default=60.0, help="for how long")
@click.option("--seed", type=click.IntRange(0), help="of an earlier run, to draw the same again")
def main(seconds: float, seed: int | None) -> None:
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory() as folder:
        stack = start(Path(folder))
        try:
            fuzz = Fuzz(stack)
            end, part = time.monotonic() + seconds, 0
            while time.monotonic() < end:
                run(fuzz, seed * 1_000_003 + part, 200)
                part += 1
        finally:
            stack.close()
    print(f"{fuzz.sound} sound and {fuzz.spoiled} spoiled connections, answered {dict(sorted(fuzz.statuses.items()))}")


if __name__ == "__main__":
    main()
