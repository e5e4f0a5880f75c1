"""Jobs: to ask now and look later, to cancel, and what the queue's bound means."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI

from tests.calls import CHATS, COMPLETIONS, ENDLESS, LATER, busy, chat, completion, job, post_later, problem, said
from tests.stack import Stack, running, wait_for

TEXT = "an answer of six words altogether"
TOO_LONG = "word " * 6000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A worker of one slot and a hundred tokens a second; two jobs may wait for it."""
    with running(tmp_path_factory.mktemp("jobs"), context=5000, max_queue=2) as stack:
        stack.start_gateway()
        stack.start_worker(slots=1, echo_rate=100)
        yield stack


def ended(http: httpx.Client, job_id: str) -> dict[str, Any]:
    wait_for(lambda: job(http, job_id)["status"] not in ("queued", "in_progress"), "the end")
    return job(http, job_id)


def cancel(http: httpx.Client, job_id: str) -> dict[str, Any]:
    response = http.delete(f"/v1/jobs/{job_id}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def shape(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what is different each time, or tells how much its gateway knew of the worker by then."""
    return {**answer, "id": "", "created": 0, "system_fingerprint": ""}


@pytest.mark.parametrize(
    ("path", "body"), [(CHATS, chat(TEXT)), (COMPLETIONS, completion(TEXT))], ids=["chat", "completion"]
)
@pytest.mark.parametrize("prefer", ["respond-async", "Respond-Async, wait=5"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_result_is_what_the_endpoint_answers(
    http: httpx.Client, path: str, body: dict[str, Any], prefer: str, stream: bool
) -> None:
    accepted = http.post(path, json={**body, "stream": stream}, headers={"Prefer": prefer})
    assert accepted.status_code == 202, accepted.text
    assert accepted.headers["preference-applied"] == "respond-async"
    assert accepted.headers["x-request-id"].startswith("req_")
    job_id = accepted.json()["id"]
    assert accepted.headers["location"] == f"/v1/jobs/{job_id}"
    done = ended(http, job_id)
    assert done["status"] == "completed"
    assert done["result"]["id"] == job_id
    assert abs(done["result"]["created"] - done["created_at"]) <= 1  # two clocks, one after the other
    assert shape(done["result"]) == shape(http.post(path, json=body).json())


def test_a_job_from_its_queue_to_its_end(stack: Stack, http: httpx.Client) -> None:
    with busy(stack):
        job_id = post_later(http, "word " * 150)
        behind = post_later(http, TEXT)
        waiting = job(http, job_id)
        assert abs(waiting["created_at"] - time.time()) < 60
        assert waiting == {
            "id": job_id,
            "object": "job",
            "status": "queued",
            "model": "echo",
            "created_at": waiting["created_at"],
            "started_at": None,
            "finished_at": None,
            "queue_position": 1,
            "estimated_wait": waiting["estimated_wait"],
            "tokens": 0,
            "result": None,
            "error": None,
        }
        assert job(http, behind)["queue_position"] == 2
    seen = wait_for(lambda: job(http, job_id)["tokens"], "the first token")
    wait_for(lambda: job(http, job_id)["tokens"] > seen, "more tokens")
    running_ = job(http, job_id)
    assert (running_["status"], running_["queue_position"], running_["result"]) == ("in_progress", None, None)
    assert running_["started_at"] >= running_["created_at"]
    done = ended(http, job_id)
    assert (done["status"], done["tokens"], done["error"]) == ("completed", 151, None)
    assert done["result"]["usage"]["completion_tokens"] == 151
    assert done["finished_at"] >= done["started_at"]
    assert ended(http, behind)["status"] == "completed"


def test_a_failed_job(http: httpx.Client) -> None:
    failed = ended(http, post_later(http, TOO_LONG))
    assert (failed["status"], failed["result"]) == ("failed", None)
    error = failed["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    expected = ("invalid_request_error", "messages", "context_length_exceeded")
    assert (error["type"], error["param"], error["code"]) == expected


def test_what_is_refused_makes_no_job(stack: Stack, http: httpx.Client) -> None:
    known = stack.jobs()
    problem(http.post(CHATS, json=chat("Hello", n=0), headers=LATER), 400)
    problem(http.post(CHATS, json=chat("Hello", model="gpt-9"), headers=LATER), 404)
    assert stack.jobs().keys() <= known.keys()


def test_cancelling(stack: Stack, http: httpx.Client) -> None:
    with busy(stack):
        queued = post_later(http, TEXT)
        gone = cancel(http, queued)
        assert (gone["status"], gone["queue_position"], gone["result"]) == ("cancelled", None, None)
        assert gone["error"]["code"] == "cancelled"
        assert cancel(http, queued) == gone == job(http, queued)
    running_ = post_later(http, ENDLESS)
    wait_for(lambda: job(http, running_)["tokens"], "the first token")
    gone = cancel(http, running_)
    assert (gone["status"], gone["error"]["code"]) == ("cancelled", "cancelled")
    assert gone["tokens"] < 2000
    completed = post_later(http, TEXT)  # the slot is free
    assert ended(http, completed)["status"] == "completed"
    assert cancel(http, completed) == job(http, completed)
    assert job(http, completed)["status"] == "completed"


def test_a_client_that_waits_for_a_cancelled_job(stack: Stack, http: httpx.Client, client: OpenAI) -> None:
    known = set(stack.jobs())
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(
            client.with_options(max_retries=2).chat.completions.create, model="echo", messages=said(ENDLESS)
        )
        [job_id] = wait_for(lambda: stack.jobs().keys() - known, "the submission")
        assert cancel(http, job_id)["status"] == "cancelled"
        with pytest.raises(openai.ConflictError) as raised:
            waiting.result(20)
    assert raised.value.code == "cancelled"
    assert stack.jobs().keys() - known == {job_id}  # the client did not try again


def test_a_full_queue(stack: Stack, http: httpx.Client, client: OpenAI) -> None:
    with busy(stack):
        accepted = [post_later(http, TEXT), post_later(http, TEXT)]
        for headers, stream in ((LATER, False), ({}, False), ({}, True)):
            response = http.post(CHATS, json=chat(TEXT, stream=stream), headers=headers)
            error = problem(response, 429)
            assert (error["type"], error["code"]) == ("rate_limit_error", "queue_full")
            assert 0 < int(response.headers["retry-after"]) <= 120
            assert "x-should-retry" not in response.headers
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="echo", messages=said(TEXT))
    assert [ended(http, job_id)["status"] for job_id in accepted] == ["completed", "completed"]
    assert client.chat.completions.create(model="echo", messages=said(TEXT)).choices[0].message.content == TEXT
