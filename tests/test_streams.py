"""Streams of a slow worker with one slot: what a client sees while it waits, and what happens when it leaves."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI

from tests.calls import CHATS, ENDLESS, LATER, PROGRESS, busy, chat, data, raw_post, said, spoken, submitted
from tests.stack import Stack, running, wait_for

TEXT = "an answer of six words altogether"
TOO_LONG = "word " * 6000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A worker of one slot and a hundred tokens a second; headers come after 0.2 s."""
    with running(tmp_path_factory.mktemp("slow"), headers_after=0.2, context=5000) as stack:
        stack.start_gateway()
        stack.start_worker(slots=1, echo_rate=100)
        yield stack


def answers(stack: Stack) -> bool:
    """The slot is free: a next request is answered."""
    choice = stack.client().chat.completions.create(model="echo", messages=said(TEXT)).choices[0]
    return choice.message.content == TEXT


# --- waiting


def test_headers_and_the_place_in_the_queue_come_before_the_text(stack: Stack, http: httpx.Client) -> None:
    with busy(stack):
        request = http.build_request("POST", CHATS, json=chat(TEXT, stream=True), headers=PROGRESS)
        first, second = http.send(request, stream=True), http.send(request, stream=True)
        assert stack.state(first.headers["location"].removeprefix("/v1/jobs/")) == "queued"
    assert (first.status_code, second.status_code) == (200, 200)
    for response, place in ((first, 1), (second, 2)):
        lines = list(response.iter_lines())
        assert lines[:2] == [f": queued position={place}", ""]
        *chunks, done = data(lines)
        assert (spoken(chunks), done) == (TEXT, "[DONE]")


def test_the_headers_come_with_the_text_where_that_is_there(stack: Stack) -> None:
    """Each piece by itself is a wake-up of whoever reads. Headers alone come where the text took longer than they wait,
    and not before."""
    for _ in range(5):
        asked = time.monotonic()
        with raw_post(stack, CHATS, chat(TEXT, stream=True)) as connection:
            head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert b'"content":"an"' in body or time.monotonic() - asked >= stack.settings["headers_after"]


def test_the_client_survives_comments(stack: Stack, client: OpenAI) -> None:
    with busy(stack):
        stream = client.chat.completions.create(model="echo", messages=said(TEXT), stream=True, extra_headers=PROGRESS)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == TEXT


def test_the_async_client_survives_comments(stack: Stack) -> None:
    async def ask() -> str:
        async with stack.async_client() as client:
            with busy(stack):
                stream = await client.chat.completions.create(
                    model="echo", messages=said(TEXT), stream=True, extra_headers=PROGRESS
                )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert asyncio.run(ask()) == TEXT


def test_an_error_after_the_headers_is_an_event(stack: Stack, http: httpx.Client, client: OpenAI) -> None:
    with busy(stack):
        response = http.send(http.build_request("POST", CHATS, json=chat(TOO_LONG, stream=True)), stream=True)
        stream = client.chat.completions.create(model="echo", messages=said(TOO_LONG), stream=True)
    assert response.status_code == 200
    [event] = data(response.iter_lines())  # and no [DONE]
    assert event.keys() == {"error"}
    error = event["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["param"], error["code"]) == ("messages", "context_length_exceeded")
    with pytest.raises(openai.APIError, match="5000") as raised:
        list(stream)
    assert raised.value.code == "context_length_exceeded"


def test_a_stream_cancelled_while_it_waits_or_runs_ends_with_an_error(
    stack: Stack, http: httpx.Client, client: OpenAI
) -> None:
    with busy(stack):
        response = http.send(http.build_request("POST", CHATS, json=chat(TEXT, stream=True)), stream=True)
        assert http.delete(response.headers["location"]).json()["status"] == "cancelled"
        [event] = data(response.iter_lines())
        assert event["error"]["code"] == "cancelled"
    stream = client.chat.completions.create(model="echo", messages=said(ENDLESS), stream=True)
    first = next(stream)
    assert http.delete(f"/v1/jobs/{first.id}").json()["status"] == "cancelled"
    with pytest.raises(openai.APIError) as raised:
        list(stream)
    assert raised.value.code == "cancelled"


def test_progress_shows_and_does_not_decide_the_status(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("prefill"), headers_after=1) as stack:
        stack.start_gateway()
        stack.start_worker(echo_prefill_ms=1300)
        http = stack.http()
        with http.stream("POST", CHATS, json=chat(TEXT, stream=True), headers=PROGRESS) as response:
            lines = list(response.iter_lines())
        comments = [line for line in lines if line.startswith(":")]
        assert comments == [": prompt 0/6", ": prompt 6/6"]
        *chunks, done = data(lines)
        assert (spoken(chunks), done) == (TEXT, "[DONE]")

        known = stack.jobs()
        with raw_post(stack, CHATS, chat(TEXT, stream=True)) as connection:
            job_id = submitted(stack, known, "in_progress")
            wait_for(lambda: stack.events(job_id) == 1, "the first report of progress")
            http.delete(f"/v1/jobs/{job_id}")
            assert connection.recv(65536).startswith(b"HTTP/1.1 409 ")


# --- leaving


def test_a_client_that_leaves_in_mid_stream(stack: Stack, client: OpenAI) -> None:
    with client.chat.completions.create(model="echo", messages=said(ENDLESS), stream=True) as stream:
        job_id = next(stream).id
        assert stack.state(job_id) == "in_progress"
    wait_for(lambda: stack.state(job_id) == "cancelled", "the cancellation")
    assert answers(stack)


def test_a_client_that_leaves_before_its_whole_answer(stack: Stack) -> None:
    known = stack.jobs()
    with raw_post(stack, CHATS, chat(ENDLESS)):
        job_id = submitted(stack, known, "in_progress")
    wait_for(lambda: stack.state(job_id) == "cancelled", "the cancellation")
    assert answers(stack)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_the_queue(stack: Stack, stream: bool) -> None:
    with busy(stack):
        known = stack.jobs()
        with raw_post(stack, CHATS, chat(TEXT, stream=stream)):
            job_id = submitted(stack, known, "queued")
        wait_for(lambda: stack.state(job_id) == "cancelled", "the cancellation")
    assert answers(stack)


def test_a_client_that_times_out(stack: Stack) -> None:
    known = stack.jobs()
    with stack.client(timeout=0.3) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="echo", messages=said(ENDLESS))
    [job_id] = stack.jobs().keys() - known.keys()
    assert wait_for(lambda: stack.redis.zscore("iq:lingering:echo", job_id), "the linger")
    stack.redis.zadd("iq:lingering:echo", {job_id: 1})  # it does not come again within its time
    wait_for(lambda: stack.state(job_id) == "cancelled", "the cancellation")
    assert answers(stack)


def test_a_job_without_a_waiting_client_goes_on(stack: Stack) -> None:
    known = stack.jobs()
    with raw_post(stack, CHATS, chat(TEXT, stream=True), **LATER) as leaving:
        assert leaving.recv(12) == b"HTTP/1.1 202"  # one that leaves before may have no job
    submitted(stack, known, "completed")


def test_a_client_that_asks_early_for_more_is_not_gone(stack: Stack) -> None:
    known, text = stack.jobs(), " ".join(["word"] * 100)
    with raw_post(stack, CHATS, chat(text)) as connection:
        job_id = submitted(stack, known, "in_progress")
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert stack.state(job_id) == "completed"
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.index(text.encode()) < received.index(b'{"status":"ok"}')


def test_a_gateway_that_stops_ends_its_streams_and_waits_for_nobody_else(empty: Stack) -> None:
    empty.settings["grace"] = 100
    gateway = empty.start_gateway()
    empty.start_worker(echo_rate=50)
    with socket.create_connection(("127.0.0.1", empty.port)) as silent:
        empty.http().get("/healthz")  # and its connection stays open
        text = "word " * 60
        stream = empty.client().chat.completions.create(model="echo", messages=said(text), stream=True)
        first = next(stream)
        gateway.terminate()
        assert "".join(chunk.choices[0].delta.content or "" for chunk in (first, *stream)) == text
        gateway.wait(20)
        assert silent.recv(1) == b""
