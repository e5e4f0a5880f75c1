"""Requests as clients write them, and what they read from the answers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx
from openai.types.chat import ChatCompletionMessageParam

from tests.stack import Stack, wait_for

CHATS, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
LATER = {"Prefer": "respond-async"}
PROGRESS = {"x-inferq-progress": "1"}
ENDLESS = "on and " * 1000
"""Echoed at 100 tokens a second, it outlasts any test."""


def said(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": said(text), **more}


def completion(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "prompt": text, "max_tokens": 32_768, **more}


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error object of an answer that holds one, and nothing else."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"].startswith("req_")
    assert response.json().keys() == {"error"}
    error: dict[str, Any] = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"] in ("invalid_request_error", "rate_limit_error", "server_error")
    assert "Traceback" not in error["message"]
    return error


def anthropics_problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The same in Anthropic's shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"type", "error", "request_id"}
    assert (body["type"], body["request_id"]) == ("error", response.headers["request-id"])
    assert response.headers["request-id"] == response.headers["x-request-id"]
    error: dict[str, Any] = body["error"]
    assert error.keys() == {"type", "message", "details"}
    assert error["type"] == kind
    return error


def data(lines: Iterable[str]) -> Iterator[Any]:
    """The chunks of a stream as they arrive; the last one is "[DONE]" where there is one. Comments are skipped."""
    for line in lines:
        if line.startswith("data: "):
            value = line.removeprefix("data: ")
            yield value if value == "[DONE]" else json.loads(value)
        else:
            assert line == "" or line.startswith(": "), line


def spoken(chunks: Iterable[Any]) -> str:
    """The text of a chat's or completion's chunks."""
    choices = [choice for chunk in chunks if chunk != "[DONE]" for choice in chunk["choices"]]
    return "".join(choice["text"] if "text" in choice else choice["delta"].get("content") or "" for choice in choices)


def read(stack: Stack, body: dict[str, Any], **headers: str) -> str:
    """The text of a streamed chat that ends well."""
    with stack.http().stream("POST", CHATS, json={**body, "stream": True}, headers=headers) as answer:
        chunks = list(data(answer.iter_lines()))
    assert chunks[-1] == "[DONE]", chunks[-1]
    return spoken(chunks)


def ask(stack: Stack, body: dict[str, Any], **headers: str) -> str:
    """The text of a chat that is answered whole."""
    answer = stack.http().post(CHATS, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def submit(http: httpx.Client, path: str, body: dict[str, Any], **headers: str) -> str:
    """The id of a job that nobody waits for."""
    response = http.post(path, json=body, headers={**LATER, **headers})
    assert response.status_code == 202, response.text
    job_id: str = response.json()["id"]
    return job_id


def post_later(http: httpx.Client, text: str, **more: Any) -> str:
    """The id of a chat that nobody waits for."""
    return submit(http, CHATS, chat(text, **more))


def job(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """What is told of a job now."""
    response = http.get(f"/v1/jobs/{job_id}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


@contextmanager
def busy(stack: Stack) -> Iterator[None]:
    """The only slot computes something else meanwhile."""
    http = stack.http()
    job_id = post_later(http, ENDLESS)
    wait_for(lambda: stack.state(job_id) == "in_progress", "the start")
    try:
        yield
        assert stack.state(job_id) == "in_progress"
    finally:
        assert http.delete(f"/v1/jobs/{job_id}").json()["status"] == "cancelled"


def submitted(stack: Stack, known: Iterable[str], state: str) -> str:
    """Wait until there is one job that was not `known`, in this state; its id."""
    wait_for(lambda: stack.jobs().keys() - set(known), "the submission")
    [job_id] = stack.jobs().keys() - set(known)
    wait_for(lambda: stack.state(job_id) == state, state)
    return str(job_id)


def raw_post(stack: Stack, path: str, body: dict[str, Any], **headers: str) -> socket.socket:
    """Send a request and read nothing; the connection."""
    blob = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    lines.append(f"Content-Length: {len(blob)}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    connection = socket.create_connection(("127.0.0.1", stack.port), timeout=20)
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + blob)
    return connection
