"""Batches are fed to their ends, and their lines are answered as their endpoints answer."""

from __future__ import annotations

import json
from typing import Any

import httpx2 as httpx
import pytest
from openai import OpenAI

from gateway.archive.thing import ThingKind
from gateway.batches.endpoints import ENDPOINTS
from gateway.batches.untold import MOST_UNTOLD
from gateway.batches.window import MOST_IN_FLIGHT
from tests.batches import archive_of, begin, counts, end, expire, nobody, request, results
from tests.calls import CHATS, chat
from tests.stack import Stack, wait_for


def test_lines_are_answered_and_refused_each_by_itself(client: OpenAI, http: httpx.Client) -> None:
    lines = [request(f"r{n}", f"text {n}", temperature=0) for n in range(20)]
    lines[3]["body"]["messages"] = []
    lines[4]["body"]["stream"] = True
    lines[5]["body"]["service_tier"] = "priority"
    batch = end(client, begin(client, [*lines, "", "  "]))
    assert (batch.status, batch.model, counts(batch)) == ("completed", "echo", (20, 18, 2))
    assert batch.in_progress_at
    assert batch.finalizing_at
    assert batch.completed_at
    output, errors = results(client, batch.output_file_id), results(client, batch.error_file_id)
    assert output.keys() | errors.keys() == {f"r{n}" for n in range(20)}
    refused = errors["r3"]["response"]
    assert (refused["status_code"], errors["r3"]["error"]) == (400, None)
    assert refused["body"] == http.post(CHATS, json=chat("") | {"messages": []}).json()
    assert errors["r4"]["response"]["body"]["error"]["param"] == "stream"
    answered = output["r7"]
    assert answered.keys() == {"id", "custom_id", "response", "error"}
    assert answered["id"].startswith("batch_req_")
    body = answered["response"]["body"]
    assert (answered["response"]["status_code"], answered["error"]) == (200, None)
    assert answered["response"]["request_id"].startswith("req_")
    assert (body["object"], body["choices"][0]["message"]["content"]) == ("chat.completion", "text 7")
    assert {line["response"]["body"]["service_tier"] for line in output.values()} == {"flex"}
    used = [line["response"]["body"]["usage"] for line in output.values()]
    assert batch.usage
    assert batch.usage.output_tokens == sum(each["completion_tokens"] for each in used)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/v1/completions", {"prompt": "a b", "max_tokens": 9}),
        ("/v1/responses", {"input": "a b"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "a b"}], "max_tokens": 9}),
        ("/v1/embeddings", {"input": ["a b", "c"]}),
        ("/v1/infill", {"input_prefix": "a b", "input_suffix": "c"}),
    ],
)
def test_each_endpoint_answers_as_it_does(client: OpenAI, http: httpx.Client, url: str, body: dict[str, Any]) -> None:
    assert url in ENDPOINTS
    good = request("good", url=url, **body)
    batch = end(client, begin(client, [good, request("bad", url=url, **{**body, "model": 7})], endpoint=url))
    assert (batch.status, counts(batch)) == ("completed", (2, 1, 1))
    [line] = results(client, batch.output_file_id).values()
    whole = http.post(url, json=good["body"]).json()
    assert _shape(line["response"]["body"]) == _shape(whole)
    [line] = results(client, batch.error_file_id).values()
    refused = http.post(url, json={**good["body"], "model": 7})
    told = refused.json()
    told.pop("request_id", None)
    line["response"]["body"].pop("request_id", None)
    assert (line["response"]["status_code"], line["response"]["body"]) == (refused.status_code, told)


def _shape(value: object) -> object:
    """Names, and of what kind their values are."""
    if isinstance(value, dict):
        return {name: _shape(inner) for name, inner in value.items()}
    return [_shape(value[0])] if isinstance(value, list) and value else type(value).__name__


def test_a_file_that_is_none_of_requests_fails_whole(client: OpenAI) -> None:
    lines = [request("a"), "{", request("a"), request("b", url="/v1/completions", prompt="x")]
    batch = end(client, begin(client, lines))
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("failed", None, None)
    assert batch.errors
    assert [error.line for error in batch.errors.data or ()] == [2, 3, 4]


def test_what_is_not_answered_in_time_has_expired(client: OpenAI, stack: Stack) -> None:
    lines = [request(f"r{n}", model=nobody() if n % 2 else "echo") for n in range(4)]
    batch_id = begin(client, lines, metadata={"project": "x"})
    wait_for(lambda: counts(client.batches.retrieve(batch_id))[1] == 2, "the ends of the others")
    expire(stack, batch_id)
    batch = end(client, batch_id)
    assert (batch.status, counts(batch), batch.metadata) == ("expired", (4, 2, 0), {"project": "x"})
    assert batch.expired_at
    assert results(client, batch.output_file_id).keys() == {"r0", "r2"}
    errors = results(client, batch.error_file_id)
    assert errors.keys() == {"r1", "r3"}
    assert {(line["response"], line["error"]["code"]) for line in errors.values()} == {(None, "batch_expired")}


def test_a_cancelled_one_keeps_what_it_has(client: OpenAI) -> None:
    batch_id = begin(client, [request("a"), request("b", model=nobody()), request("c")])
    wait_for(lambda: counts(client.batches.retrieve(batch_id))[1] == 2, "the ends of the others")
    assert client.batches.cancel(batch_id).status == "cancelling"
    batch = end(client, batch_id)
    assert (batch.status, counts(batch)) == ("cancelled", (3, 2, 0))
    assert batch.cancelled_at
    assert results(client, batch.output_file_id).keys() == {"a", "c"}
    errors = results(client, batch.error_file_id)
    assert {name: line["error"]["code"] for name, line in errors.items()} == {"b": "batch_cancelled"}


def test_lines_go_past_those_whose_models_are_not_there(client: OpenAI) -> None:
    lines = [*(request(f"n{n}", model=nobody()) for n in range(3)), *(request(f"e{n}") for n in range(3))]
    batch_id = begin(client, lines)
    wait_for(lambda: counts(client.batches.retrieve(batch_id)) == (6, 3, 0), "the ends of the others")
    client.batches.cancel(batch_id)
    assert results(client, end(client, batch_id).output_file_id).keys() == {"e0", "e1", "e2"}


def test_a_line_is_as_large_as_a_request_may_be(client: OpenAI, http: httpx.Client) -> None:
    large = request("large", "x" * 2_200_000)
    batch = end(client, begin(client, [large, request("small")]))
    assert counts(batch) == (2, 1, 1)
    refused = http.post(CHATS, json=large["body"])
    response = results(client, batch.error_file_id)["large"]["response"]
    assert (response["status_code"], response["body"]) == (413, refused.json())
    assert refused.status_code == 413


def test_few_of_many_lines_are_in_redis_at_a_time(client: OpenAI, stack: Stack) -> None:
    lines = [json.dumps(request(f"r{n}", "x")) for n in range(2500)]
    others = stack.job_ids()
    batch_id = begin(client, lines)
    most, seen = 0, set[int]()
    while (batch := client.batches.retrieve(batch_id)).status != "completed":
        most = max(most, len(stack.job_ids() - others))
        seen.add(counts(batch)[1])
    assert counts(batch) == (2500, 2500, 0)
    assert len(results(client, batch.output_file_id)) == 2500
    assert len(seen) > 5, "it is told how far it is"
    assert most <= MOST_IN_FLIGHT + 3 * MOST_UNTOLD
    assert not archive_of(stack).holds("", ThingKind.OUTCOMES, f"outcomes_{batch_id}")


def test_a_line_is_as_long_as_a_body_at_most(client: OpenAI, http: httpx.Client) -> None:
    lines = [request("a"), request("b", "a" * 5_000_000)]
    batch = end(client, begin(client, lines))
    assert counts(batch) == (2, 1, 1)
    refused = http.post(CHATS, json=lines[1]["body"])
    told = results(client, batch.error_file_id)["b"]["response"]
    assert (told["status_code"], told["body"]) == (refused.status_code, refused.json())
    assert refused.status_code == 413
