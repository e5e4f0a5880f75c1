"""GET /api/chat: llm-ui's interface, an answer in plain text."""

from __future__ import annotations

import itertools

import httpx2 as httpx
import pytest

from tests.calls import problem, submitted
from tests.stack import Stack, wait_for
from tests.tiny import TINY

LONG = "on and " * 200
"""Echoed at 20 tokens a second, it outlasts a test."""


def test_the_answer_alone(echo: Stack) -> None:
    response = echo.http().get("/api/chat", params={"prompt": "Grüße & mehr 😀"})
    assert (response.status_code, response.text) == (200, "Grüße & mehr 😀")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["x-request-id"].startswith("req_")
    assert response.headers["cache-control"] == "no-store"
    assert "content-length" not in response.headers
    job = echo.http().get(response.headers["location"]).json()
    assert job["result"]["object"] == "chat.completion"
    assert echo.http().get("/api/chat", params={"prompt": ""}).text == ""


@pytest.mark.parametrize(
    ("query", "status", "param", "code"),
    [
        ("", 400, "prompt", "missing_required_parameter"),
        ("prompt=x&temperature=1", 400, "temperature", "unknown_parameter"),
        ("prompt=x&model=", 400, "model", "invalid_value"),
        ("prompt=x&model=gpt-9", 404, "model", "model_not_found"),
    ],
)
def test_errors_are_json(echo: Stack, query: str, status: int, param: str, code: str) -> None:
    error = problem(echo.http().get(f"/api/chat?{query}"), status)
    assert (error["param"], error["code"]) == (param, code)


@pytest.mark.parametrize("method", ["PUT", "HEAD", "DELETE"])  # POST is Ollama's
def test_other_methods_compute_nothing(echo: Stack, method: str) -> None:
    known = echo.jobs()
    response = echo.http().request(method, "/api/chat?prompt=x")
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]
    assert echo.jobs().keys() <= known.keys()  # those that others have left here may expire


def test_pages_of_other_sites_do_not_compute_here(echo: Stack) -> None:
    http, query = echo.http(), {"prompt": "x"}
    assert (
        problem(http.get("/api/chat", params=query, headers={"Sec-Fetch-Site": "cross-site"}), 403)["code"]
        == "forbidden"
    )
    for site in ("same-origin", "none"):
        assert http.get("/api/chat", params=query, headers={"Sec-Fetch-Site": site}).text == "x"


def test_a_prompt_of_several_thousand_letters(echo: Stack) -> None:
    prompt = "x" * 8000
    assert echo.http().get("/api/chat", params={"prompt": prompt}).text == prompt
    assert "too long" in problem(echo.http().get("/api/chat", params={"prompt": prompt + prompt}), 400)["message"]


def test_keys_count_here_too_and_a_model_is_needed(empty: Stack) -> None:
    empty.settings["api_keys"] = "me:secret-key"
    empty.start_gateway()
    http, key = empty.http(), {"Authorization": "Bearer secret-key"}
    problem(http.get("/api/chat?prompt=x"), 401)
    assert problem(http.get("/api/chat?prompt=x", headers=key), 503)["code"] == "no_worker"
    empty.start_worker()
    assert http.get("/api/chat?prompt=x", headers=key).text == "x"


def test_it_comes_piece_by_piece_and_ends_with_its_client_or_its_job(served: Stack) -> None:
    """An answer that was broken off must not look like a whole one."""
    served.start_worker(slots=1, echo_rate=20)
    with served.http().stream("GET", "/api/chat", params={"prompt": LONG}) as response:
        pieces = response.iter_text()
        assert "".join(itertools.islice(pieces, 5)).startswith("on and on and")
        first = submitted(served, (), "in_progress")
    wait_for(lambda: served.state(first) == "cancelled", "the cancellation")
    with served.http().stream("GET", "/api/chat", params={"prompt": LONG}) as response:
        pieces = response.iter_text()
        assert next(pieces) == "on"
        served.http().delete(f"/v1/jobs/{submitted(served, [first], 'in_progress')}")
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)


def test_the_default_is_the_first_and_a_model_without_chats_continues(served: Stack) -> None:
    served.start_worker("echo", context=64)
    served.start_worker(str(TINY), slots=1, context=64)
    http = served.http()
    assert http.get("/api/chat", params={"prompt": "Hello"}).text == "Hello"
    assert problem(http.get("/api/chat", params={"prompt": "word " * 64}), 400)["param"] == "prompt"
    named = http.get("/api/chat", params={"prompt": "Hello", "model": "tiny-llama"})
    assert named.status_code == 200
    assert named.text
