"""A full house says so at once and honestly: deadlines, refusals, and what those who wait are told of their turn."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterator
from itertools import pairwise

import httpx2 as httpx
import openai
import pytest

from gateway.estimate import Estimator
from shared.protocol import Failed, State
from shared.tickets import Tickets
from tests.calls import CHATS, LATER, PROGRESS, busy, chat, data, job, post_later, problem, said, spoken
from tests.record import read
from tests.stack import Stack, running, wait_for
from tests.transitions import END, append, claim, dequeue, submit

TEXT = "an answer of six words altogether"
MOST = 10
HELD = 0.5
QUEUED = re.compile(r": queued position=(\d+)(?: wait=(\d+)s)?")


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two jobs a second, one at a time, and ten that may wait."""
    with running(tmp_path_factory.mktemp("slow"), headers_after=0.2, max_queue=MOST) as stack:
        stack.start_gateway()
        stack.start_worker(slots=1, echo_prefill_ms=HELD * 1000)
        yield stack


@pytest.fixture(scope="module")
def http(slow: Stack) -> httpx.Client:
    """Of a stack that has some history."""
    client = slow.http()
    assert client.post(CHATS, json=chat(TEXT)).status_code == 200
    return client


@pytest.fixture
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A model whose worker is gone, and one place in its queue."""
    with running(tmp_path_factory.mktemp("idle"), headers_after=0.2, max_queue=1) as stack:
        stack.start_gateway()
        worker = stack.start_worker()
        worker.terminate()
        worker.wait(20)
        yield stack


def all_ended(stack: Stack) -> bool:
    return not set(stack.jobs().values()) & {"queued", "in_progress"}


def fill(stack: Stack, http: httpx.Client, count: int) -> list[str]:
    """One job runs, `count` wait."""
    first = post_later(http, TEXT)
    wait_for(lambda: stack.state(first) == "in_progress", "the start")
    return [post_later(http, TEXT) for _ in range(count)]


# --- when a turn will come


def test_the_estimate_is_near_the_truth(slow: Stack, http: httpx.Client) -> None:
    waiting = fill(slow, http, MOST)
    told = [job(http, job_id) for job_id in waiting]
    seconds, micros = slow.redis.time()
    waits = [one["estimated_wait"] for one in told if one["queue_position"]]
    assert len(waits) > MOST / 2
    assert all(one <= next_one + 1 for one, next_one in pairwise(waits))  # whole seconds, told one after the other
    wait_for(lambda: all_ended(slow), "the end of all")
    truth = int(slow.redis.hget(f"iq:job:{waiting[-1]}", "started") or 0) / 1000 - seconds - micros / 1e6
    assert truth / 2 <= waits[-1] <= truth * 2
    last = job(http, waiting[-1])
    assert (last["queue_position"], last["estimated_wait"]) == (None, None)


def test_clients_see_the_queue_move_and_survive_it(slow: Stack, http: httpx.Client) -> None:
    async def ask(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(
            model="echo", messages=said(TEXT), stream=True, extra_headers=PROGRESS
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    def ask_in_a_thread() -> str:
        stream = slow.client().chat.completions.create(
            model="echo", messages=said(TEXT), stream=True, extra_headers=PROGRESS
        )
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    def read() -> list[str]:
        with http.stream("POST", CHATS, json=chat(TEXT, stream=True), headers=PROGRESS) as response:
            return list(response.iter_lines())

    async def ask_all() -> tuple[str, str, list[str]]:
        async with slow.async_client() as client:
            return await asyncio.gather(ask(client), asyncio.to_thread(ask_in_a_thread), asyncio.to_thread(read))

    fill(slow, http, MOST - 3)
    *texts, lines = asyncio.run(ask_all())
    assert texts == [TEXT, TEXT]
    *chunks, done = data(lines)
    assert (spoken(chunks), done) == (TEXT, "[DONE]")
    comments = [line for line in lines if line.startswith(":")]
    turns = [QUEUED.fullmatch(line) for line in comments]
    positions = [int(turn[1]) for turn in turns if turn]
    waits = [int(turn[2]) for turn in turns if turn]
    assert len(positions) >= 2
    assert positions == sorted(set(positions), reverse=True)
    assert waits == sorted(waits, reverse=True)
    assert waits[0] > waits[-1]
    assert [line for line, turn in zip(comments, turns, strict=True) if not turn] == [": prompt 0/6", ": prompt 6/6"]
    for comment in comments:
        assert lines[lines.index(comment) + 1] == ""  # a reader that splits at blank lines would lose what follows


def test_nobody_guesses(idle: Stack) -> None:
    http = idle.http()
    refused_after = {"retry-after": "5", "retry-after-ms": "5000"}
    job_id = post_later(http, TEXT)  # no job has ended yet
    assert (job(http, job_id)["queue_position"], job(http, job_id)["estimated_wait"]) == (1, None)
    response = http.post(CHATS, json=chat(TEXT))
    assert problem(response, 429)["code"] == "queue_full"
    assert {name: response.headers[name] for name in refused_after} == refused_after
    with http.stream("GET", f"/v1/jobs/{job_id}/events", headers=PROGRESS) as stream:
        assert next(stream.iter_lines()) == ": queued position=1"
    idle.start_worker(slots=1)
    wait_for(lambda: idle.state(job_id) == "completed", "the job")
    idle.worker.kill()
    idle.worker.wait(20)
    idle.redis.zrem("iq:live:workers", *idle.workers())  # as it lapses
    job_id = post_later(http, TEXT)  # there is a history, but no worker
    assert (job(http, job_id)["queue_position"], job(http, job_id)["estimated_wait"]) == (1, None)


# --- refusals


def test_a_full_queue_tells_when_there_will_be_a_place(slow: Stack, http: httpx.Client) -> None:
    response = http.post(CHATS, json=chat(TEXT), headers=LATER)
    while response.status_code == 202:
        response = http.post(CHATS, json=chat(TEXT), headers=LATER)
    assert problem(response, 429)["code"] == "queue_full"
    assert response.headers["retry-after"] == "1"
    assert 500 <= int(response.headers["retry-after-ms"]) <= 2 * HELD * 1000
    assert "x-should-retry" not in response.headers
    # The client does as it is told, comes in, and waits its turn.
    answer = slow.client(max_retries=2).chat.completions.create(model="echo", messages=said(TEXT))
    assert answer.choices[0].message.content == TEXT


def test_no_client_is_sent_away_for_longer_than_it_accepts(idle: Stack) -> None:
    idle.start_worker(slots=1, echo_rate=100)
    idle.redis.hset("iq:counts:echo", mapping={"held_us": 3600 * 1_000_000, "held": 20})
    with busy(idle):
        job_id = post_later(idle.http(), TEXT)
        # What was seen before the start may be told for a second.
        wait_for(lambda: job(idle.http(), job_id)["estimated_wait"] > 3000, "the estimate")
        response = idle.http().post(CHATS, json=chat(TEXT))
        assert (response.headers["retry-after"], response.headers["retry-after-ms"]) == ("120", "120000")


# --- deadlines


@pytest.mark.parametrize("value", ["", "soon", "0", "-1", "nan", "inf", "86400.5"])
def test_a_bad_deadline_is_refused_by_name(slow: Stack, http: httpx.Client, value: str) -> None:
    known = slow.jobs()
    response = http.post(CHATS, json=chat(TEXT), headers={"x-request-timeout": value})
    error = problem(response, 400)
    assert error["param"] == "x-request-timeout"
    assert "86400" in error["message"]
    assert response.headers["x-should-retry"] == "false"
    assert slow.jobs().keys() <= known.keys()


def test_a_job_past_its_deadline_is_dropped_while_no_worker_lives(idle: Stack) -> None:
    http = idle.http()
    response = http.post(CHATS, json=chat(TEXT), headers={"x-request-timeout": "0.3"})
    assert problem(response, 504)["code"] == "deadline_exceeded"
    assert response.headers["x-should-retry"] == "false"
    later = http.post(CHATS, json=chat(TEXT), headers={**LATER, "x-request-timeout": "86400"})
    created, deadline = idle.redis.hmget(f"iq:job:{later.json()['id']}", "created", "deadline")
    assert int(deadline or 0) - int(created or 0) == 86_400_000


def test_a_running_job_has_all_the_time_it_needs(http: httpx.Client) -> None:
    response = http.post(CHATS, json=chat(TEXT), headers={"x-request-timeout": str(HELD / 2)})
    assert response.json()["choices"][0]["message"]["content"] == TEXT


# --- the scripts


def start(tickets: Tickets, job_id: str, ago: float) -> bool:
    """Submit a job that began to run so many seconds ago."""
    submit(tickets, job_id)
    dequeue(tickets)
    claimed = claim(tickets, job_id, f"x-{job_id}") is not None
    seconds, micros = tickets.client.time()
    tickets.client.hset(f"iq:job:{job_id}", "started", int((seconds - ago) * 1000 + micros / 1000))
    return claimed


def end(tickets: Tickets, job_id: str, state: State = State.COMPLETED) -> None:
    event = END if state is State.COMPLETED else Failed("engine_error", "It failed.")
    append(tickets, job_id, f"x-{job_id}", 1, event)


def waits(tickets: Tickets, *positions: int) -> list[float | None]:
    """In whole seconds, as they are at this moment."""
    estimator = Estimator(tickets)
    found = [estimator.wait("m", position) for position in positions]
    return [wait if wait is None else round(wait) for wait in found]


def test_a_claim_between_two_sweeps_refuses_what_is_past_its_deadline(tickets: Tickets) -> None:
    submit(tickets, "a", wait=0)
    dequeue(tickets)
    for _ in range(2):  # a resent command does no harm
        assert claim(tickets, "a", "x") is None
    assert tickets.get("a").state is State.FAILED
    assert tickets.get("a").started is None
    [event] = read(tickets.client, "a").events
    assert isinstance(event, Failed)
    assert event.code == "deadline_exceeded"
    assert not tickets.client.exists("iq:leases:m", "iq:deadlines:m", "rq:queue:m:intermediate")


def test_the_pace_is_that_of_the_last_jobs(tickets: Tickets) -> None:
    assert waits(tickets, 1) == [None]
    assert start(tickets, "first", ago=40)
    assert waits(tickets, 1) == [None]
    end(tickets, "first")
    for number in range(80):
        assert start(tickets, f"{number}", ago=10)
        end(tickets, f"{number}", State.FAILED if number % 2 else State.COMPLETED)
    submit(tickets, "never-ran")
    tickets.cancel("never-ran")
    assert waits(tickets, 1) == [None]  # nobody serves the model
    assert start(tickets, "now", ago=0)
    assert waits(tickets, 1, 2, 3) == [10, 20, 30]


def test_slots_side_by_side_and_jobs_that_are_overdue(tickets: Tickets) -> None:
    assert start(tickets, "first", ago=10)
    end(tickets, "first")
    assert start(tickets, "a", ago=2)
    assert start(tickets, "b", ago=6)
    assert waits(tickets, 1, 2, 3, 4, 5) == [4, 8, 14, 18, 24]
    assert start(tickets, "c", ago=400)  # runs since long, and will for long: it gives no place soon
    assert waits(tickets, 1, 2, 3, 4, 5) == [4, 8, 14, 18, 24]
    end(tickets, "a")
    end(tickets, "b")
    [wait] = waits(tickets, 1)
    assert wait is not None
    assert math.isclose(wait, 100, abs_tol=1)
