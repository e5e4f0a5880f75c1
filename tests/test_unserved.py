"""What OpenAI and Anthropic have and inferq does not do: a 501 that clients do not repeat, whatever is sent there."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai import DefaultHttpxClient, OpenAI
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.calls import anthropics_problem, problem
from tests.raw_http import exchange
from tests.stack import Stack

LARGE = 30_000_000
"""Bytes; more than are thrown away for a client that is still sending, and than OpenAI takes of a recording."""


def assert_not_served(response: httpx.Response, words: str) -> None:
    error = problem(response, 501)
    assert (error["type"], error["code"], error["param"]) == ("server_error", "not_served", None)
    assert f"{words}. It serves language models" in error["message"]
    assert response.headers["x-should-retry"] == "false"
    assert "retry-after" not in response.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path", ["/v1/images/generations", "/images/generations/", "//v1//v1/images/generations", "/v1/images", "/images"]
)
def test_every_method_and_spelling(stack: Stack, http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, stack.url + path, content=b"{}")
    assert_not_served(answer, f"does not serve this endpoint of OpenAI's: {method} {path.replace('//', '/', 1)}")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/threads/thread_1/messages", "/v1/conversations keeps conversations."),
        ("/v1/vector_stores", "/v1/embeddings makes vectors."),
        ("/v1/fine_tuning/jobs/x/events", "OpenAI's"),
        ("/v1/organization/usage/completions?start_time=1", "OpenAI's"),
        ("/v1/skills/x", "OpenAI's and Anthropic's"),
        ("/v1/complete", "Anthropic's"),
    ],
)
def test_what_comes_nearest_is_named(http: httpx.Client, path: str, words: str) -> None:
    assert words in problem(http.get(path), 501)["message"]


def test_nothing_but_the_head_says_so_to_head(http: httpx.Client) -> None:
    answer = http.head("/v1/audio/speech")
    assert (answer.status_code, answer.content) == (501, b"")


def test_anthropics_words_on_anthropics_path(stack: Stack, http: httpx.Client) -> None:
    error = anthropics_problem(http.post("/v1/messages/batches", json={"requests": []}), 501, "api_error")
    assert error["details"] == {"error_code": "not_served"}
    anthropics_problem(http.get("/v1/skills", headers={"anthropic-version": "2023-06-01"}), 501, "api_error")


CALLS: dict[str, Callable[[OpenAI], Any]] = {
    "images": lambda client: client.images.generate(model="echo", prompt="a lighthouse"),
    "speech": lambda client: client.audio.speech.create(model="echo", voice="alloy", input="ahoy"),
    "transcriptions": lambda client: client.audio.transcriptions.create(model="echo", file=("a.wav", b"RIFF")),
    "large": lambda client: client.audio.transcriptions.create(model="echo", file=("a.wav", io.BytesIO(bytes(LARGE)))),
    "moderations": lambda client: client.moderations.create(input="ahoy"),
    "fine-tuning": lambda client: client.fine_tuning.jobs.list(),
    "stores": lambda client: client.vector_stores.create(name="store"),
    "evals": lambda client: client.evals.list(),
    "containers": lambda client: client.containers.list(),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_client_asks_once(stack: Stack, call: str) -> None:
    """It repeats what fails with another 5xx."""
    sent = list[httpx.Request]()
    with DefaultHttpxClient(event_hooks={"request": [sent.append]}) as counted:
        client = OpenAI(base_url=f"{stack.url}/v1", api_key="none", http_client=counted)  # with retries, as usual
        with pytest.raises(openai.APIStatusError, match="does not serve this endpoint of OpenAI's") as refused:
            CALLS[call](client)
    assert (refused.value.status_code, len(sent)) == (501, 1)


def test_a_body_is_not_read(stack: Stack, http: httpx.Client) -> None:
    """Neither asked for nor waited for; and a small one leaves the connection in order."""
    told = exchange(
        ("127.0.0.1", stack.port), "POST /v1/audio/translations", {"host": "localhost", "content-length": str(LARGE)}
    )
    assert (told.status, told.json["error"]["code"]) == (501, "not_served")
    assert told.headers["connection"] == "close"
    small = http.post("/v1/audio/translations", content=b"x" * 10_000)
    assert (small.status_code, small.headers["connection"]) == (501, "keep-alive")


def test_a_websocket_is_refused_in_words_of_http(stack: Stack) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(f"{stack.url.replace('http', 'ws')}/v1/realtime?model=echo"):
        pass
    assert refused.value.response.status_code == 501
    assert b'"not_served"' in refused.value.response.body


def client_paths() -> set[str]:
    """The beginnings of all paths that the installed client knows."""
    folder = Path(openai.__file__).parent / "resources"
    found: set[str] = set()
    for module in folder.rglob("*.py"):
        found.update(re.findall(r"\"(/[a-z_]+(?:/[a-z_]+)?)[/\"]", module.read_text("utf-8")))
    return found


def test_nothing_of_the_clients_is_unknown(http: httpx.Client) -> None:
    """What a later client adds is either served or refused in these words."""
    paths = client_paths()
    assert {"/chat/completions", "/images/generations", "/organization/usage"} <= paths
    told = {path: http.request("PROPFIND", f"/v1{path}") for path in paths}
    assert {answer.status_code for answer in told.values()} <= {404, 405, 501}
    assert [path for path, answer in told.items() if "Unknown URL" in answer.text] == []
    served = {path for path, answer in told.items() if answer.status_code == 405}
    assert {"/chat/completions", "/responses", "/files", "/embeddings", "/conversations"} <= served
