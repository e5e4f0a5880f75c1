"""Responses in the background: asked for, left alone, followed from any gateway process, cancelled."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI
from openai.types.responses import ResponseStreamEvent

from tests.calls import ENDLESS, data, job, problem
from tests.stack import Stack, children, running, wait_for

TEXT = "word " * 60
RESPONSES = "/v1/responses"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A worker of one slot and a hundred tokens a second, and two gateway processes."""
    with running(tmp_path_factory.mktemp("background")) as stack:
        stack.start_gateway(processes=2)
        stack.start_worker(slots=1, echo_rate=100)
        yield stack


@pytest.fixture
def strict(stack: Stack) -> OpenAI:
    return stack.client(_strict_response_validation=True)


def ask(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "input": text, "background": True, **more}


def ended(client: OpenAI, response_id: str) -> openai.types.responses.Response:
    running = ("queued", "in_progress")
    wait_for(lambda: client.responses.retrieve(response_id).status not in running, "the end")
    return client.responses.retrieve(response_id)


def test_it_runs_whoever_leaves(stack: Stack, http: httpx.Client, strict: OpenAI) -> None:
    answer = http.post(RESPONSES, json=ask(TEXT))
    assert answer.status_code == 200
    begun = answer.json()
    assert (begun["status"], begun["background"], begun["output"], begun["usage"]) == ("queued", True, [], None)
    assert answer.headers["location"] == f"/v1/jobs/{begun['id']}"
    seen = wait_for(lambda: strict.responses.retrieve(begun["id"]).output_text, "a part of it")
    assert TEXT.startswith(seen)
    done = ended(strict, begun["id"])
    assert (done.status, done.output_text) == ("completed", TEXT)
    assert done.created_at == begun["created_at"]
    assert job(http, begun["id"])["result"] == http.get(f"{RESPONSES}/{begun['id']}").json()


def test_a_stream_that_was_left_goes_on(stack: Stack, strict: OpenAI) -> None:
    seen = list[ResponseStreamEvent]()
    with strict.responses.create(**ask(TEXT), stream=True) as stream:
        for event in stream:
            seen.append(event)
            if event.type == "response.output_text.delta" and len(seen) > 8:
                break
    kinds = [event.type for event in seen[:4]]
    added = "response.output_item.added"
    assert kinds == ["response.created", "response.queued", "response.in_progress", added]
    assert seen[0].type == "response.created"
    response_id, last = seen[0].response.id, seen[-1].sequence_number
    rest = list(strict.responses.retrieve(response_id, stream=True, starting_after=last))
    assert stack.state(response_id) == "completed"
    numbers = [event.sequence_number for event in (*seen, *rest)]
    assert numbers == list(range(len(numbers)))
    assert "".join(each.delta for each in (*seen, *rest) if each.type == "response.output_text.delta") == TEXT
    assert rest[-1].type == "response.completed"
    stored = strict.responses.retrieve(response_id)
    assert rest[-1].response.to_dict() == stored.to_dict()
    again = strict.responses.retrieve(response_id, stream=True)
    assert [event.to_dict() for event in again] == [event.to_dict() for event in (*seen, *rest)]


def test_a_gateway_that_dies(stack: Stack, strict: OpenAI) -> None:
    """Its client comes again to another one, and misses and repeats nothing."""
    before = children(stack.gateway)
    text, parts, number, response_id = "word " * 300, list[str](), -1, ""  # three seconds: they die before

    def read() -> None:
        nonlocal number, response_id
        for event in strict.responses.create(**ask(text), stream=True):
            number = event.sequence_number
            if event.type == "response.created":
                response_id = event.response.id
            elif event.type == "response.output_text.delta":
                parts.append(event.delta)
                if len(parts) == 5:
                    for pid in before:
                        os.kill(pid, signal.SIGKILL)

    with pytest.raises(openai.APIConnectionError):
        read()
    assert response_id
    assert len(parts) < 300
    wait_for(lambda: len(children(stack.gateway) - before) == 2, "two others", 60)
    patient = stack.client(max_retries=5)
    with patient.responses.stream(response_id=response_id, starting_after=number) as rest:
        for each in rest:
            assert each.sequence_number > number
            number = each.sequence_number
            if each.type == "response.output_text.delta":
                parts.append(each.delta)
        assert "".join(parts) == rest.get_final_response().output_text == text


def test_cancelling(stack: Stack, http: httpx.Client, strict: OpenAI) -> None:
    queued = strict.responses.create(**ask(ENDLESS))
    with http.stream("POST", RESPONSES, json=ask(ENDLESS, stream=True)) as stream:
        events = data(line for line in stream.iter_lines() if not line.startswith("event: "))
        begun = [next(events) for _ in range(2)]
        assert [each["type"] for each in begun] == ["response.created", "response.queued"]
        waiting = begun[0]["response"]["id"]
        assert strict.responses.cancel(waiting).status == "cancelled"
        [last] = events
    assert (last["type"], last["sequence_number"]) == ("response.failed", 2)
    assert (last["response"]["status"], last["response"]["error"]) == ("cancelled", None)
    wait_for(lambda: stack.state(queued.id) == "in_progress", "the start")
    wait_for(lambda: strict.responses.retrieve(queued.id).output_text, "a part of it")
    cancelled = strict.responses.cancel(queued.id)
    assert (cancelled.status, cancelled.error, cancelled.completed_at) == ("cancelled", None, None)
    [item] = cancelled.output
    assert item.type == "message"
    assert item.status == "incomplete"
    for response_id in (queued.id, waiting):
        stored = strict.responses.retrieve(response_id)
        assert stored.status == "cancelled"
        assert strict.responses.cancel(response_id).to_dict() == stored.to_dict()
    usual = strict.responses.create(model="echo", input="Hello")
    refused = problem(http.post(f"{RESPONSES}/{usual.id}/cancel", headers={"Content-Type": "application/json"}), 400)
    assert "background" in refused["message"]


def test_one_that_fails(http: httpx.Client, strict: OpenAI) -> None:
    begun = strict.responses.create(**ask("word " * 40_000))
    failed = ended(strict, begun.id)
    assert failed.status == "failed"
    assert failed.error
    assert (failed.error.code, failed.error.param) == ("invalid_prompt", "input")
    *_, last = strict.responses.retrieve(begun.id, stream=True)
    assert last.type == "response.failed"
    assert last.response.to_dict() == failed.to_dict()


def test_what_is_stored_needs_nothing_of_its_job(stack: Stack, strict: OpenAI) -> None:
    told = [event.to_dict() for event in strict.responses.create(**ask("one two three"), stream=True)]
    response_id = told[0]["response"]["id"]
    wait_for(lambda: stack.redis.zscore("iq:unarchived", response_id) is None, "its place in the archive")
    left = list(stack.redis.scan_iter(f"*{response_id}*"))
    assert left
    stack.redis.delete(*left)
    assert strict.responses.retrieve(response_id).to_dict() == told[-1]["response"]
    assert [event.to_dict() for event in strict.responses.retrieve(response_id, stream=True)] == told
    assert strict.responses.cancel(response_id).status == "completed"
    strict.responses.delete(response_id)
    with pytest.raises(openai.NotFoundError):
        strict.responses.retrieve(response_id, stream=True)


def test_deleting_one_that_runs(stack: Stack, strict: OpenAI) -> None:
    begun = strict.responses.create(**ask(ENDLESS))
    wait_for(lambda: stack.state(begun.id) == "in_progress", "the start")
    strict.responses.delete(begun.id)
    with pytest.raises(openai.NotFoundError):
        strict.responses.retrieve(begun.id)
    wait_for(lambda: stack.state(begun.id) in ("cancelled", ""), "its end")


def test_a_client_that_comes_again_joins(stack: Stack, http: httpx.Client) -> None:
    key = {"Idempotency-Key": "background"}
    first, second = (http.post(RESPONSES, json=ask(ENDLESS), headers=key).json() for _ in range(2))
    assert first["id"] == second["id"]
    assert (first["status"], second["created_at"]) == ("queued", first["created_at"])
    assert http.delete(f"/v1/jobs/{first['id']}").json()["status"] == "cancelled"


def test_a_stream_that_waits_has_begun(stack: Stack, strict: OpenAI) -> None:
    """Its first events come with its headers, and not when there is something to say."""
    before = strict.responses.create(**ask("word " * 1000))  # ten seconds
    stream = strict.responses.create(model="echo", input="Hello", stream=True)
    events = iter(stream)
    assert [next(events).type, next(events).type] == ["response.created", "response.in_progress"]
    assert strict.responses.cancel(before.id).status == "cancelled"
    rest = [event.sequence_number for event in events]
    assert rest == [*range(2, 2 + len(rest))]
