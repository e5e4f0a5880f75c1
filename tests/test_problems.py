"""Errors: each code has its status and its headers, and the docs tell them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, abort, g, request

from gateway import errors
from gateway.schemas.chat import ChatFormat
from gateway.schemas.openai import render_failure
from gateway.schemas.outcomes import failure, outcome
from gateway.schemas.problem import CODES
from shared.errors import ArchiveUnavailable, InferqError
from shared.protocol import (
    Failed,
)

DOCS = Path(__file__).parent.parent / "docs" / "api.md"


class InOtherWords(ChatFormat):
    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return {"type": "error", "status": status, "message": error.message}


@pytest.fixture
def app() -> Flask:
    app = Flask("errors")
    app.config["MAX_CONTENT_LENGTH"] = 100
    errors.init_app(app)

    @app.post("/fail/<code>")
    def fail(code: str) -> str:
        raise failure(Failed(code, "It failed.", "prompt"), {})

    @app.post("/in-other-words/<code>")
    def other(code: str) -> str:
        g.format = InOtherWords()
        if code == "teapot":
            abort(418)
        raise failure(Failed(code, "It failed."), {})

    @app.post("/bug")
    def bug() -> str:
        raise ZeroDivisionError("secret")

    @app.post("/place")
    def place() -> str:
        raise ArchiveUnavailable("/secret/place: no space left")

    @app.post("/read")
    def read() -> str:
        return str(request.get_json())

    return app


def codes() -> set[str]:
    found: set[str] = set(CODES)
    classes = [InferqError]
    while classes:
        cls = classes.pop()
        if cls.__module__ == "shared.errors":
            found.add(cls.code)
            classes += cls.__subclasses__()
    return found


STATUS: dict[str, int] = {
    **dict.fromkeys(CODES, 400),
    "context_length_exceeded": 400,
    "unknown_event": 400,
    "file_too_large": 413,
    "model_not_found": 404,
    "model_unavailable": 503,
    "no_worker": 503,
    "job_not_found": 404,
    "cancelled": 409,
    "invalid_api_key": 401,
    "request_timeout": 408,
    "idempotency_key_reused": 422,
    "too_many_connections": 429,
    "too_many_followers": 429,
    "too_many_wrong_keys": 429,
    "queue_full": 429,
    "key_queue_full": 429,
    "key_memory_full": 429,
    "memory_full": 503,
    "tier_refused": 403,
    "gateway_busy": 503,
    "store_unavailable": 503,
    "not_stored": 404,
    "not_served": 501,
    "archive_full": 403,
    "archive_unavailable": 503,
    "archive_damaged": 500,
    "other_version": 503,
    "deadline_exceeded": 504,
}
REPEATABLE = {"model_load_error", "worker_lost", "internal_error", "unheard_of"}
SOON = {"queue_full": "5", "key_queue_full": "5", "key_memory_full": "5", "memory_full": "5"}
SOON |= {"too_many_connections": "5", "too_many_followers": "5", "too_many_wrong_keys": "1"}
SOON |= {"model_unavailable": "10", "no_worker": "5"}
SOON |= {"gateway_busy": "1", "store_unavailable": "1", "archive_unavailable": "1", "other_version": "1"}
"""Codes that say when to come again."""


@pytest.mark.parametrize("code", sorted(codes() | {"unheard_of"}))
def test_every_code_has_its_answer(app: Flask, code: str) -> None:
    response = app.test_client().post(f"/fail/{code}")
    status = STATUS.get(code, 500)
    assert response.status_code == status
    error = response.get_json()["error"]
    kind = error.pop("type")
    assert error == {"message": "It failed.", "param": "prompt", "code": code}
    assert kind == {429: "rate_limit_error"}.get(status, "server_error" if status >= 500 else "invalid_request_error")
    assert response.headers.get("x-should-retry") == (None if code in REPEATABLE | SOON.keys() else "false")
    assert response.headers.get("Retry-After") == SOON.get(code)
    error = InferqError("It failed.", param="prompt", code=code)
    assert render_failure(error, outcome(code).status) == response.get_json()


@pytest.mark.parametrize(
    ("method", "path", "data", "kind", "status", "code", "words"),
    [
        ("GET", "/v1/unheard", b"", "text/plain", 404, "not_found", "GET /v1/unheard"),
        ("GET", "/bug", b"", "text/plain", 405, "method_not_allowed", "POST"),
        ("POST", "/read", b"x" * 101, "application/json", 413, "request_entity_too_large", "100 bytes"),
        ("POST", "/read", b"{}", "text/plain", 415, "unsupported_media_type", "application/json"),
        ("POST", "/read", b"{", "application/json", 400, "bad_request", "request"),
    ],
)
def test_what_flask_refuses(
    app: Flask, method: str, path: str, data: bytes, kind: str, status: int, code: str, words: str
) -> None:
    response = app.test_client().open(path, method=method, data=data, content_type=kind)
    assert (response.status_code, response.content_type) == (status, "application/json")
    error = response.get_json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, code)
    assert words in error["message"]
    assert response.headers["x-should-retry"] == "false"
    if status == 405:
        assert {name.strip() for name in response.headers["Allow"].split(",")} == {"POST", "OPTIONS"}


@pytest.mark.parametrize(("code", "status"), [("queue_full", 429), ("teapot", 418)])
def test_a_format_has_its_own_words_for_errors(app: Flask, code: str, status: int) -> None:
    response = app.test_client().post(f"/in-other-words/{code}")
    assert response.status_code == status
    assert response.get_json()["type"] == "error"
    assert response.get_json()["status"] == status


def test_a_bug_is_logged_and_not_told(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    response = app.test_client().post("/bug")
    assert response.status_code == 500
    assert response.get_json()["error"]["code"] == "internal_error"
    assert "secret" not in response.text
    assert "ZeroDivisionError: secret" in caplog.text


def test_docs_name_every_code() -> None:
    text = DOCS.read_text("utf-8")
    rows = re.findall(r"^\| ([^|]*) \| (\d{3}) \|", text, re.M)
    told = {code: int(status) for cell, status in rows for code in re.findall(r"`(\w+)`", cell)}
    flasks_own = {"forbidden": 403}
    assert told == {code: STATUS.get(code, 500) for code in codes()} | flasks_own


def test_where_things_lie_is_told_to_the_log_alone(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    answer = app.test_client().post("/place")
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "archive_unavailable")  # type: ignore[index]  # it is JSON
    assert answer.json["error"]["message"] == ArchiveUnavailable.words  # type: ignore[index]  # it is JSON
    assert "/secret/place" in caplog.text
