"""What is refused: always OpenAI's error body with a request id, never HTML, and no worker takes harm."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI

from tests.calls import CHATS, COMPLETIONS, chat, completion, problem, said
from tests.stack import Stack

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module", autouse=True)
def unharmed(echo: Stack) -> Iterator[None]:
    """After all of it the same worker is there, and answers."""
    workers = echo.workers()
    yield
    assert echo.workers() == workers
    assert echo.http().post(CHATS, json=chat("Hello")).json()["choices"][0]["message"]["content"] == "Hello"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("more", "param", "code"),
    [
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": "Hello"}, "messages", "invalid_type"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_type"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"temperature": -1}, "temperature", "decimal_below_min_value"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"stop": ["a", ""]}, "stop[1]", "invalid_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "unsupported_value"),
        ({"response_format": {"type": "structural_tag"}}, "response_format.type", "unsupported_value"),
        ({"logprobs": 1}, "logprobs", "invalid_type"),
        ({"store": "yes"}, "store", "invalid_type"),
        ({"store": True, "metadata": {"key": 1}}, "metadata.key", "invalid_type"),
        ({"temprature": 1}, "temprature", "unknown_parameter"),
    ],
)
def test_refused_parameters(http: httpx.Client, more: dict[str, Any], param: str, code: str, stream: bool) -> None:
    response = http.post(CHATS, json={**chat("Hello"), "stream": stream, **more})
    error = problem(response, 400)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert param in error["message"]
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("path", "body"), [(CHATS, chat("Hello")), (COMPLETIONS, completion("Hello")), (CHATS, chat("Hello", stream=True))]
)
def test_unknown_model(http: httpx.Client, path: str, body: dict[str, Any]) -> None:
    error = problem(http.post(path, json={**body, "model": "gpt-9"}), 404)
    assert (error["param"], error["code"]) == ("model", "model_not_found")
    assert error["message"] == "The model 'gpt-9' does not exist. Models that exist: echo."


def test_unknown_model_retrieved(http: httpx.Client) -> None:
    error = problem(http.get("/v1/models/org%2Fgpt-9"), 404)
    assert error["code"] == "model_not_found"
    assert "'org/gpt-9' does not exist. Models that exist: echo." in error["message"]


@pytest.mark.parametrize(
    "body", [b" ", b"{", b"{'model': 1}", b'{"model": "\xff"}', b'{"temperature": NaN}', b"[" * 10**5]
)
def test_malformed_json(http: httpx.Client, body: bytes) -> None:
    error = problem(http.post(CHATS, content=body, headers=JSON), 400)
    assert (error["param"], error["code"]) == (None, "invalid_json")


@pytest.mark.parametrize("body", ["[]", '"text"', "5"])
def test_json_that_is_no_object(http: httpx.Client, body: str) -> None:
    assert problem(http.post(COMPLETIONS, content=body, headers=JSON), 400)["code"] == "invalid_type"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_wrong_content_type(http: httpx.Client, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    response = http.post(CHATS, content=json.dumps(chat("Hello")), headers=headers)
    assert problem(response, 415)["code"] == "unsupported_media_type"


def test_content_type_with_a_charset(http: httpx.Client) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert http.post(CHATS, content=json.dumps(chat("Hello")), headers=headers).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large(http: httpx.Client, chunked: bool) -> None:
    body = json.dumps(chat("Hello")).encode() + b" " * 2_097_152
    response = http.post(CHATS, content=iter([body]) if chunked else body, headers=JSON)
    assert "2097152 bytes" in problem(response, 413)["message"]


def test_a_chunked_body_within_the_bound(http: httpx.Client) -> None:
    body = json.dumps(chat("Hello")).encode()
    response = http.post(CHATS, content=iter([body[:9], body[9:], b" " * 100_000]), headers=JSON)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/v1/images/generations", 501, "not_served"),
        ("GET", "/v1//nowhere", 404, "not_found"),
        ("POST", "/v1/chat/completions/x/y", 404, "not_found"),
        ("GET", "/v1/jobs/nobody", 404, "job_not_found"),
        ("DELETE", "/v1/jobs/nobody", 404, "job_not_found"),
        ("PUT", CHATS, 405, "method_not_allowed"),
        ("DELETE", "/v1/models/echo", 405, "method_not_allowed"),
    ],
)
def test_unknown_routes_and_methods(http: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    response = http.request(method, path)
    error = problem(response, status)
    assert error["code"] == code
    if status == 405:
        assert response.headers["allow"]


@pytest.mark.parametrize(
    "request_",
    [
        b"rubbish\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nBig: " + b"a" * 9000 + b"\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["no_request", "long_url", "long_header", "bad_length", "bad_chunk"],
)
def test_what_is_no_http(echo: Stack, request_: bytes) -> None:
    answer = b""
    with socket.create_connection(("127.0.0.1", echo.port), timeout=20) as connection:
        connection.sendall(request_)
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:  # it closes with our request half read
            pass
    head, _, body = answer.decode().partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    problem(httpx.Response(int(status.split()[1]), headers=headers, text=body), 400)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body", "param"),
    [(CHATS, chat("word " * 40_000), "messages"), (COMPLETIONS, completion("word " * 40_000), "prompt")],
    ids=["chat", "completion"],
)
def test_a_prompt_that_is_too_long(
    http: httpx.Client, path: str, body: dict[str, Any], param: str, stream: bool
) -> None:
    response = http.post(path, json={**body, "stream": stream})
    error = problem(response, 400)
    assert (error["param"], error["code"]) == (param, "context_length_exceeded")
    assert re.findall(r"\d+", error["message"]) == ["32768", "40001"]
    assert response.headers["x-should-retry"] == "false"


def test_the_clients_exceptions(client: OpenAI) -> None:
    chats = client.chat.completions
    with pytest.raises(openai.BadRequestError) as refused:
        chats.create(model="echo", messages=[])
    assert (refused.value.param, refused.value.code) == ("messages", "empty_array")
    with pytest.raises(openai.BadRequestError) as refused:
        chats.create(model="echo", messages=said("word " * 40_000), stream=True)
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as refused:
        chats.create(model="echo", messages=said("Hello"), extra_body={"temprature": 1})
    assert (refused.value.param, refused.value.code) == ("temprature", "unknown_parameter")
    with pytest.raises(openai.NotFoundError) as missing:
        chats.create(model="gpt-9", messages=said("Hello"))
    assert missing.value.code == "model_not_found"
    assert missing.value.request_id is not None
    assert missing.value.request_id.startswith("req_")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("org/gpt-9")
    with pytest.raises(openai.APIStatusError) as large:
        chats.create(model="echo", messages=said("word" * 1_100_000))
    assert large.value.status_code == 413
