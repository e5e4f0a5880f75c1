"""GET /v1/jobs/{id}/events: the events of a job by id, while it runs and after, from any gateway process."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx2 as httpx
import pytest

from shared import registry, streams
from shared.protocol import Accepted, Chat, Message, Options, Sampling
from shared.tickets import Tickets
from tests.calls import CHATS, COMPLETIONS, LATER, chat, completion, data, post_later, problem, spoken
from tests.stack import Stack, wait_for

TEXT = " ".join(str(number) for number in range(60))


def events(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(id, data) of each event; the last is ("", "[DONE]")."""
    event_id = ""
    for line in lines:
        if line.startswith("id: "):
            event_id = line.removeprefix("id: ")
        elif line.startswith("data: "):
            yield event_id, line.removeprefix("data: ")
            event_id = ""
        else:
            assert line == "" or line.startswith(": "), line


def follow(http: httpx.Client, job: str, after: str | None = None) -> list[tuple[str, str]]:
    headers = {} if after is None else {"Last-Event-ID": after}
    with http.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return list(events(answer.iter_lines()))


def text(found: Iterable[tuple[str, str]]) -> str:
    return spoken(data(f"data: {value}" for _, value in found))


@pytest.fixture
def done(echo: Stack, http: httpx.Client) -> str:
    """A finished job."""
    job = post_later(http, TEXT)
    wait_for(lambda: echo.state(job) == "completed", "its end")
    return job


def test_after_the_end_it_is_the_stream_with_ids(http: httpx.Client, done: str) -> None:
    found = follow(http, done)
    assert text(found) == TEXT
    assert found[-1] == ("", "[DONE]")
    ids = [event_id for event_id, _ in found[:-1]]
    assert len(set(ids)) == len(ids)
    assert '"usage":{' in found[-2][1]


def test_it_resumes_after_every_id_without_gap_or_repeat(http: httpx.Client, done: str) -> None:
    whole = follow(http, done)
    for index, (event_id, _) in enumerate(whole[:-2]):
        if index < 4 or index > len(whole) - 6:
            assert follow(http, done, after=event_id) == whole[index + 1 :]
    last = whole[-2][0]
    assert http.get(f"/v1/jobs/{done}/events", headers={"Last-Event-ID": last}).status_code == 204


def test_many_follow_a_running_job_from_its_beginning_through_every_process(empty: Stack) -> None:
    empty.start_gateway(processes=2)
    empty.start_worker(echo_rate=40)
    http = empty.http()
    with ThreadPoolExecutor(6) as pool, http.stream("POST", CHATS, json=chat(TEXT, stream=True)) as answer:
        job = answer.headers["location"].rpartition("/")[2]
        wait_for(lambda: empty.events(job) > 5, "some text")
        # Connections of their own, so that they land on both processes.
        readers = [pool.submit(lambda: follow(empty.http(), job)) for _ in range(6)]
        assert spoken(data(answer.iter_lines())) == TEXT
        found = [reader.result() for reader in readers]
    assert [text(each) for each in found] == [TEXT] * 6
    assert all(each == found[0] for each in found)


def test_what_a_cut_reader_read_and_the_rest_are_the_whole(empty: Stack) -> None:
    gateway = empty.start_gateway()
    empty.start_worker(echo_rate=30)
    job = post_later(empty.http(), TEXT)
    read: list[tuple[str, str]] = []
    try:
        with empty.http().stream("GET", f"/v1/jobs/{job}/events") as answer:
            for event in events(answer.iter_lines()):
                read.append(event)
                if len(read) == 12:
                    gateway.send_signal(signal.SIGKILL)
    except httpx.TransportError:
        pass
    assert 12 <= len(read) < 60
    gateway.wait()
    wait_for(empty.port_is_free, "the end of the gateway's processes")
    empty.start_gateway()
    rest = follow(empty.http(), job, after=read[-1][0])
    assert text(read + rest) == TEXT
    assert read + rest == follow(empty.http(), job)


def test_a_reader_that_leaves_cancels_nothing(served: Stack) -> None:
    served.start_worker(echo_rate=60)
    http = served.http()
    job = post_later(http, TEXT)
    with http.stream("GET", f"/v1/jobs/{job}/events") as answer:
        next(events(answer.iter_lines()))
    assert text(follow(http, job)) == TEXT
    assert served.state(job) == "completed"


def test_failed_and_cancelled_jobs_end_with_their_error(echo: Stack, http: httpx.Client) -> None:
    job = post_later(http, "word " * 40_000)
    wait_for(lambda: echo.state(job) == "failed", "its end")
    [(event_id, error)] = follow(http, job)
    assert event_id.startswith("1-")
    assert '"code":"context_length_exceeded"' in error


def test_a_queued_job_is_followed_from_its_first_event(served: Stack) -> None:
    served.start_worker()
    later = replace(registry.models(served.redis)["echo"], id="later")
    registry.announce(served.redis, registry.Worker("none", "later", "host", pid=1, since=1, card=later))
    http = served.http()
    answer = http.post("/v1/completions", json={**completion(TEXT), "model": "later"}, headers=LATER)
    job = str(answer.json()["id"])
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(follow, served.http(), job)
        wait_for(lambda: b"iq:reply" in (served.redis.hget(f"iq:job:{job}", "reply") or b""), "the reader")
        assert http.delete(f"/v1/jobs/{job}").json()["status"] == "cancelled"
        [(_, error)] = reader.result()
    assert '"code":"cancelled"' in error


def test_bad_ids(http: httpx.Client, done: str) -> None:
    assert problem(http.get("/v1/jobs/chatcmpl-nope/events"), 404)["code"] == "job_not_found"
    for wrong in ("x", "1.x", "-1", "1.2.3"):
        answer = http.get(f"/v1/jobs/{done}/events", headers={"Last-Event-ID": wrong})
        assert problem(answer, 400)["param"] == "Last-Event-ID"


def test_a_job_keeps_its_format_and_options(echo: Stack, http: httpx.Client, done: str) -> None:
    accepted = streams.accepted(echo.redis, done)
    assert (accepted.format, accepted.options) == ("openai.chat", Options())
    answer = http.post(
        COMPLETIONS, json=completion("x", stream=True, stream_options={"include_usage": True}), headers=LATER
    )
    accepted = streams.accepted(echo.redis, answer.json()["id"])
    assert (accepted.format, accepted.options) == ("openai.completion", Options(stream=True, include_usage=True))


@pytest.mark.parametrize("name", ["", "smoke-signals"], ids=["none", "unknown"])
def test_a_job_of_another_version_is_answered_if_its_format_is_known(
    echo: Stack, http: httpx.Client, name: str
) -> None:
    task, job = Chat("echo", (Message("user", TEXT),), Sampling(1)), f"format-{name}"
    tickets = Tickets(echo.redis)
    tickets.submit(job, Accepted(task, created=1, format=name), reply="", max_queue=10, wait=60, keep=60)
    wait_for(lambda: echo.state(job) == "completed", "its end")
    if name:
        assert problem(http.get(f"/v1/jobs/{job}"), 503)["code"] == "other_version"
        assert problem(http.get(f"/v1/jobs/{job}/events"), 503)["code"] == "other_version"
    else:
        assert http.get(f"/v1/jobs/{job}").json()["result"]["object"] == "chat.completion"
        assert text(follow(http, job)) == TEXT
