"""/v1/embeddings: the vectors of texts, through the unmodified client."""

from __future__ import annotations

import base64
import json
import math
import threading
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from openai import OpenAI

from shared import streams
from shared.protocol import Pooled
from tests.calls import job, problem, submit
from tests.stack import Stack, wait_for

EMBEDDINGS = "/v1/embeddings"
MANY = [f"text {number} of many" for number in range(2048)]


def post(http: httpx.Client, given: object, **more: Any) -> dict[str, Any]:
    answer = http.post(EMBEDDINGS, json={"model": "echo", "input": given, **more})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def vectors(told: dict[str, Any]) -> list[Any]:
    return [each["embedding"] for each in told["data"]]


def test_texts_with_the_same_words_are_alike(client: OpenAI) -> None:
    told = client.embeddings.create(model="echo", input=["the red fox", "fox red the", "something else"])
    assert [each.index for each in told.data] == [0, 1, 2]
    first, second, third = (np.array(each.embedding) for each in told.data)
    assert math.isclose(first @ second, 1, abs_tol=1e-6)
    assert first @ third < 0.9
    assert (told.usage.prompt_tokens, told.usage.total_tokens) == (8, 8)


def test_many_are_spread_over_the_slots(client: OpenAI) -> None:
    told = client.embeddings.create(model="echo", input=MANY)
    assert [each.index for each in told.data] == list(range(2048))
    alone = client.embeddings.create(model="echo", input=MANY[1234])
    assert told.data[1234].embedding == alone.data[0].embedding


def test_numbers_are_those_of_base64(http: httpx.Client) -> None:
    texts = ["a", "a b b c", "d " * 97]
    floats = post(http, texts, encoding_format="float")
    coded = post(http, texts, encoding_format="base64")
    assert [np.array(each, "<f4").tobytes() for each in vectors(floats)] == list(map(base64.b64decode, vectors(coded)))
    assert floats == post(http, texts)
    assert {**floats, "data": coded["data"]} == coded


def test_token_ids_stand_for_texts(http: httpx.Client) -> None:
    texts = ["fox", "hound"]
    ids = [http.post("/v1/tokenize", json={"model": "echo", "prompt": text}).json()["tokens"] for text in texts]
    assert post(http, ids) == post(http, texts) == post(http, [ids[0], texts[1]])
    assert post(http, ids[0]) == post(http, texts[0])


def test_first_dimensions_alone(client: OpenAI, http: httpx.Client) -> None:
    whole = client.embeddings.create(model="echo", input="a b c d", encoding_format="float").data[0].embedding
    short = client.embeddings.create(model="echo", input="a b c d", dimensions=16).data[0].embedding
    length = math.sqrt(sum(each**2 for each in whole[:16]))
    assert np.allclose(short, np.array(whole[:16]) / (length or 1))
    error = problem(http.post(EMBEDDINGS, json={"model": "echo", "input": "a", "dimensions": 17}), 400)
    assert (error["param"], error["code"]) == ("dimensions", "unsupported_value")


LONG = "word " * 32_769
CUT = [
    {"truncate_prompt_tokens": -1},
    {"truncate_prompt_tokens": 40_000},
    {"truncate": True, "truncation_direction": "Right"},
    {"truncate": "END"},
    {"truncation": True, "truncation_side": "right"},
]


@pytest.mark.parametrize("asked", CUT, ids=str)
def test_what_is_too_long_is_cut_off_where_the_request_has_it_so(http: httpx.Client, asked: dict[str, Any]) -> None:
    told = post(http, [LONG, "a"], **asked)
    assert told["usage"]["prompt_tokens"] == 32_769
    assert vectors(told)[0] == vectors(post(http, "word"))[0]


def test_cut_after_so_many_tokens(http: httpx.Client) -> None:
    told = post(http, ["a b c", "a"], truncate_prompt_tokens=2)
    assert (told["data"], told["usage"]["prompt_tokens"]) == (post(http, ["a b", "a"])["data"], 3)


REFUSED: list[tuple[dict[str, Any], str | None, str]] = [
    ({}, "input", "missing_required_parameter"),
    ({"input": []}, "input", "empty_array"),
    ({"input": ""}, "input", "invalid_value"),
    ({"input": ["a", ""]}, "input[1]", "invalid_value"),
    ({"input": [[1], []]}, "input[1]", "empty_array"),
    ({"input": [1, -1]}, "input[1]", "invalid_value"),
    ({"input": ["a", 1]}, "input[1]", "invalid_type"),
    ({"input": {"text": "a"}}, "input", "invalid_type"),
    ({"input": ["a"] * 2049}, "input", "array_above_max_length"),
    ({"input": LONG}, "input", "context_length_exceeded"),
    ({"input": ["a", LONG]}, "input[1]", "context_length_exceeded"),
    ({"input": ["a", [1] * 32_769]}, "input[1]", "context_length_exceeded"),
    ({"input": LONG, "truncate": "NONE"}, "input", "context_length_exceeded"),
    ({"input": "a", "truncate": "START"}, "truncate", "unsupported_value"),
    ({"input": "a", "truncate_prompt_tokens": 0}, "truncate_prompt_tokens", "invalid_value"),
    ({"input": "a", "encoding_format": "int8"}, "encoding_format", "unsupported_value"),
    ({"input": "a", "stream": True}, "stream", "unsupported_value"),
    ({"input": "a", "normalize": False}, "normalize", "unsupported_value"),
    ({"input": "a", "temperature": 1}, "temperature", "unknown_parameter"),
    ({"input": "a", "service_tier": "best"}, "service_tier", "unsupported_value"),
]


@pytest.mark.parametrize(("asked", "param", "code"), REFUSED, ids=lambda each: str(each)[:40])
def test_refused(http: httpx.Client, asked: dict[str, Any], param: str, code: str) -> None:
    error = problem(http.post(EMBEDDINGS, json={"model": "echo", **asked}), 400)
    assert (error["param"], error["code"]) == (param, code)
    assert "2048 inputs" in error["message"] or code != "array_above_max_length"


def test_what_asks_for_nothing_is_told(http: httpx.Client) -> None:
    asked = {"input_type": "query", "task": "retrieval.query", "user": "me", "metadata": {"a": "b"}}
    nothing = {"normalized": True, "late_chunking": False, "embedding_type": "float", "priority": 0, "store": False}
    body = {"model": "echo", "input": "a", **nothing, **asked, "dimensions": None, "service_tier": "flex"}
    answer = http.post(EMBEDDINGS, json=body)
    assert answer.json() == post(http, "a")
    assert set(answer.headers["x-inferq-ignored"].split(", ")) == set(asked)


def test_later_and_followed(http: httpx.Client) -> None:
    job_id = submit(http, EMBEDDINGS, {"model": "echo", "input": MANY, "encoding_format": "base64"})
    told = wait_for(lambda: (found := job(http, job_id))["status"] == "completed" and found, "the vectors")
    assert told["result"] == post(http, MANY, encoding_format="base64")
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    assert [json.loads(lines[0]), *lines[1:]] == [told["result"], "[DONE]"]


def test_a_retry_joins(served: Stack) -> None:
    served.start_worker("echo", echo_prefill_ms=500)
    http, body = served.http(), {"model": "echo", "input": "a"}
    one = {"Idempotency-Key": "one"}
    job_id = submit(http, EMBEDDINGS, body, **one)
    joined = http.post(EMBEDDINGS, json=body, headers=one)
    assert joined.headers["Location"].endswith(job_id)
    assert joined.json() == job(http, job_id)["result"]


def test_each_vector_is_told_once_whoever_is_killed(served: Stack) -> None:
    victim = served.start_worker("echo", slots=1, echo_prefill_ms=400)
    asked, found = MANY[:64], list[Any]()
    waiting = threading.Thread(target=lambda: found.append(post(served.http(), asked)))
    waiting.start()
    [job_id] = wait_for(served.jobs, "the job")
    wait_for(lambda: served.events(job_id) >= 2, "the first vectors")
    victim.kill()
    assert served.state(job_id) == "in_progress"
    served.start_worker("echo")
    waiting.join()
    [told] = found
    assert told == post(served.http(), asked)
    events = [event for entry in streams.entries(served.redis, job_id) for event in entry.events]
    assert sorted(event.first for event in events if isinstance(event, Pooled)) == [0, 16, 32, 48]
