"""Paths and methods as clients get them wrong, and what HTTP lets them ask for beside a plain request."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2 as httpx
import pytest
from openai import OpenAI

from shared.version import VERSION
from tests.calls import CHATS, COMPLETIONS, chat, data, problem, said, spoken
from tests.stack import Stack, running

LONG = "word" + " word" * 3000
KEY = "0123456789abcdef01234567"


# --- paths


@pytest.mark.parametrize(
    "base", ["", "/", "//v1", "/v1/", "/v1//", "/v1/v1", "/v1/v1/", "//v1//v1//"], ids=lambda base: base or "empty"
)
def test_a_base_url_that_is_nearly_right_serves(stack: Stack, base: str) -> None:
    with OpenAI(base_url=stack.url + base, api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["echo"]
        assert client.models.retrieve("echo").id == "echo"
        answer = client.chat.completions.create(model="echo", messages=said("one two"))
        assert answer.choices[0].message.content == "one two"
        chunks = client.chat.completions.create(model="echo", messages=said("one two"), stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two"
        assert client.completions.create(model="echo", prompt="one", max_tokens=5).choices[0].text == "one"


@pytest.mark.parametrize("path", ["//v1/chat/completions", "/v1//chat/completions", "/chat/completions/", CHATS + "/"])
def test_it_is_the_same_request(stack: Stack, http: httpx.Client, path: str) -> None:
    """Not redirected, joined by the same key, and known in the metrics by its right path."""
    headers = {"Idempotency-Key": path}
    right = http.post(CHATS, json=chat(path), headers=headers)
    near = http.post(stack.url + path, json=chat(path), headers=headers)
    assert (near.status_code, near.history) == (200, [])
    assert near.json()["id"] == right.json()["id"]
    assert (
        problem(http.delete(stack.url + path), 405)["message"]
        == f"DELETE is not allowed on {CHATS}, only GET, HEAD, OPTIONS, POST"
    )
    metrics = http.get(stack.url + "//metrics/").text
    assert f'endpoint="{CHATS}"' in metrics
    assert f'endpoint="{path}"' not in metrics


def test_keys_and_logs_are_the_same_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("keys"), api_keys=f"me:{KEY}") as stack:
        stack.start_gateway()
        http = stack.http()
        for path in ("//v1/models", "/models", "/v1/v1/models/", "/v1/nowhere", "/version", "/props"):
            assert problem(http.get(stack.url + path), 401)["code"] == "invalid_api_key"
        assert http.get("/version/", headers={"x-api-key": KEY}).json() == {"version": VERSION}
        for path in ("/health", "/health/", "//health", "/v1/health", "/ping"):
            answer = http.get(stack.url + path)
            assert (answer.status_code, answer.json()) == (503, {"status": "unready", "reason": "no_worker"})
            assert int(answer.headers["retry-after"]) > 0
        stack.start_worker()
        for method, path in (("GET", "/health"), ("GET", "/v1/health"), ("POST", "/ping")):
            answer = http.request(method, path)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("POST", "/v1/chat/completions/chat/completions", f"Did you mean {CHATS}?"),
        ("POST", "/openai/v1/chat/completions", f"Did you mean {CHATS}?"),
        ("POST", "/openai/deployments/gpt-4/chat/completions", f"Did you mean {CHATS}?"),
        ("POST", "/v1/engines/davinci/completions", f"Did you mean {COMPLETIONS}?"),
        ("POST", "/v1chat/completions", f"Did you mean {CHATS}?"),
        ("POST", "/v1/chat/completion", f"Did you mean {CHATS}?"),
        ("GET", "/api/v1/models", "Did you mean /v1/models?"),
        ("GET", "/helthz", "Did you mean /healthz?"),
        ("POST", "/v1", "Chats go to /v1/chat/completions"),
        ("GET", "/v1/nowhere", "a base URL that ends with /v1."),
        ("GET", "/slots", "does not serve this endpoint of llama.cpp's"),
    ],
)
def test_a_404_says_what_may_have_been_meant(http: httpx.Client, method: str, path: str, words: str) -> None:
    answer = http.request(method, path, json={} if method == "POST" else None)
    error = problem(answer, 404)
    assert words in error["message"]
    assert f"{method} {path}" in error["message"]
    assert error["code"] == "not_found"
    assert answer.headers["x-should-retry"] == "false"


def test_the_base_url_itself_says_what_there_is(http: httpx.Client) -> None:
    for accept in ("text/html", "*/*"):
        told = [http.get(path, headers={"Accept": accept}) for path in ("/", "/v1", "/v1/")]
        assert {(answer.status_code, answer.text) for answer in told} == {(200, told[0].text)}


def test_the_props_are_those_of_the_model(http: httpx.Client) -> None:
    for path in ("/props", "/v1/props", "/props?model=echo"):
        told = http.get(path).json()
        assert told["default_generation_settings"] == {"n_ctx": 32_768}
        assert (told["total_slots"], told["model_alias"], told["build_info"]) == (4, "echo", f"inferq-{VERSION}")
    assert problem(http.get("/props?model=none"), 404)["code"] == "model_not_found"


# --- methods


def test_head_and_options_are_answered_wherever_get_is(http: httpx.Client) -> None:
    for path in ("/v1/models", "/v1/models/echo", "/health", "/healthz", "/readyz", "/version", "/metrics", "/props"):
        got, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"") == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
        options = http.options(path)
        assert options.status_code == 200
        assert {"GET", "HEAD", "OPTIONS"} <= set(options.headers["allow"].split(", "))
    assert http.options(COMPLETIONS).headers["allow"] in ("OPTIONS, POST", "POST, OPTIONS")
    assert http.head("/v1/nowhere").status_code == 404


@contextmanager
def connected(stack: Stack) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=60) as connection:
        yield connection


def answer_of(connection: socket.socket) -> tuple[bytes, bytes]:
    """The head of the next answer, and what came with it; read to the connection's end where it has no length."""
    blob = b""
    while b"\r\n\r\n" not in blob:
        more = connection.recv(65_536)
        assert more, blob
        blob += more
    head, _, body = blob.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    length = int(lengths[0].split(b":")[1]) if lengths else None
    while (length is None or len(body) < length) and not head.startswith(b"HTTP/1.1 100"):
        if not (more := connection.recv(65_536)):
            break
        body += more
    return head, body


def request(body: bytes | int, *headers: str, path: str = CHATS, version: str = "1.1") -> bytes:
    """The head of a request with this body, or one of so many bytes."""
    size = body if isinstance(body, int) else len(body)
    lines = [f"POST {path} HTTP/{version}", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {size}", "", ""]).encode()


class TestExpectations:
    """As curl has them for a large body, and Java and .NET where they are told to."""

    BODY = json.dumps(chat("one two three")).encode()
    EXPECT = "Expect: 100-continue"

    def test_the_body_is_asked_for_and_answered(self, stack: Stack) -> None:
        with connected(stack) as connection:
            for _ in range(2):  # on the same connection
                connection.sendall(request(self.BODY, self.EXPECT))
                assert answer_of(connection) == (b"HTTP/1.1 100 Continue", b"")
                connection.sendall(self.BODY)
                head, body = answer_of(connection)
                assert head.startswith(b"HTTP/1.1 200 ")
                assert json.loads(body)["choices"][0]["message"]["content"] == "one two three"

    @pytest.mark.parametrize(
        ("headers", "path", "size", "status"),
        [
            ((), "/v1/nowhere", 10, b"404"),
            (("Content-Encoding: gzip",), CHATS, 10, b"415"),
            (("Origin: https://evil.example",), CHATS, 10, b"403"),
            ((), CHATS, 10**9, b"413"),
        ],
    )
    def test_a_refusal_comes_instead(
        self, stack: Stack, headers: tuple[str, ...], path: str, size: int, status: bytes
    ) -> None:
        with connected(stack) as connection:
            connection.sendall(request(size, *headers, self.EXPECT, path=path))
            head, body = answer_of(connection)
            assert head.startswith(b"HTTP/1.1 " + status)
            assert b"connection: close" in head.lower(), "who has not sent the body may take what follows for it"
            assert "error" in json.loads(body)
            assert connection.recv(10) == b""

    def test_who_does_not_wait_is_served(self, stack: Stack) -> None:
        with connected(stack) as connection:
            connection.sendall(request(self.BODY, self.EXPECT) + self.BODY)
            head, body = answer_of(connection)
            if head == b"HTTP/1.1 100 Continue":  # the body came in a piece of its own
                head, body = answer_of(connection) if not body else (body, body.partition(b"\r\n\r\n")[2])
            assert b" 200 " in head.split(b"\r\n")[0]

    def test_old_clients_cannot_expect(self, stack: Stack) -> None:
        with connected(stack) as connection:
            connection.sendall(request(self.BODY, self.EXPECT, version="1.0"))
            connection.settimeout(0.5)
            with pytest.raises(TimeoutError):
                connection.recv(10)
            connection.settimeout(60)
            connection.sendall(self.BODY)
            assert b" 200 " in answer_of(connection)[0].split(b"\r\n")[0]


def test_an_upgrade_is_passed_over_and_the_body_is_whole(stack: Stack) -> None:
    """As Java's HttpClient asks for HTTP/2 by default, and curl with --http2."""
    upgrade = (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA",
    )
    body = json.dumps(chat(LONG)).encode()
    with connected(stack) as connection:
        for _ in range(2):
            connection.sendall(request(body, *upgrade) + body)
            head, answer = answer_of(connection)
            assert head.startswith(b"HTTP/1.1 200 ")
            assert json.loads(answer)["choices"][0]["message"]["content"] == LONG


def test_http_1_0_may_keep_its_connection(stack: Stack) -> None:
    """As ApacheBench does with -k."""
    body = json.dumps(chat("one")).encode()
    with connected(stack) as connection:
        for _ in range(2):
            connection.sendall(request(body, "Connection: keep-alive", version="1.0") + body)
            head, answer = answer_of(connection)
            assert b" 200 " in head.split(b"\r\n")[0]
            assert b"connection: keep-alive" in head.lower()
            assert json.loads(answer)["choices"][0]["message"]["content"] == "one"
        body = json.dumps(chat("one two", stream=True)).encode()
        connection.sendall(request(body, "Connection: keep-alive", version="1.0") + body)
        head, answer = answer_of(connection)
        assert b"transfer-encoding" not in head.lower()
        assert spoken(data(answer.decode().splitlines())) == "one two"
