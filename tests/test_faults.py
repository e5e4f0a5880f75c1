"""Faults, made for real: what was accepted is answered, or says honestly why not, and never twice.

Every test counts that its fault hit something.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai import APIError, OpenAI
from rq import Queue, Worker

from tests.calls import COMPLETIONS, completion, submit
from tests.stack import Process, Stack, wait_for

WORDS = " ".join(f"word{i}" for i in range(12))


def ask(client: OpenAI, marker: int) -> tuple[str, str | None]:
    """Stream one chat; its text and the code of the error that ended it."""
    text = ""
    try:
        for chunk in client.chat.completions.create(
            model="echo", messages=[{"role": "user", "content": f"{marker} {WORDS}"}], stream=True
        ):
            text += chunk.choices[0].delta.content or "" if chunk.choices else ""
    except APIError as exc:
        return text, str(exc.code)
    return text, None


def complete_later(stack: Stack, text: str) -> str:
    """A job that nobody waits for."""
    return submit(stack.http(), COMPLETIONS, completion(text))


def result(stack: Stack, job_id: str) -> str:
    """The text of a job, once it is completed."""
    wait_for(lambda: stack.state(job_id) not in ("queued", "in_progress", ""), f"the end of {job_id}", 30)
    job = stack.http().get(f"/v1/jobs/{job_id}").json()
    assert job["status"] == "completed", job
    return str(job["result"]["choices"][0]["text"])


def running_on(stack: Stack, worker: bytes) -> list[str]:
    """The jobs that a worker runs."""
    return [
        job_id
        for job_id, state in stack.jobs().items()
        if state == "in_progress" and stack.redis.hget(f"iq:job:{job_id}", "worker") == worker
    ]


def named(stack: Stack, **settings: Any) -> tuple[Process, bytes]:
    """A new echo worker and its name."""
    known = stack.workers()
    process = stack.start_worker("echo", **settings)
    [name] = stack.workers() - known
    return process, name.encode()


@pytest.fixture
def twenty(served: Stack) -> Callable[[], list[tuple[str, str | None]]]:
    """Start twenty streams; call the result to wait for them."""

    def begin() -> list[tuple[str, str | None]]:
        with ThreadPoolExecutor(20) as pool:
            return list(pool.map(lambda i: ask(served.client(), i), range(20)))

    return begin


class TestKilledWorker:
    def test_jobs_that_had_sent_nothing_run_on_the_other(self, served: Stack, twenty: Callable[[], Any]) -> None:
        victim, name = named(served, echo_prefill_ms=4000)
        named(served, echo_prefill_ms=200)
        with ThreadPoolExecutor(1) as pool:
            answers = pool.submit(twenty)
            hit = wait_for(lambda: len(running_on(served, name)) == 4 and running_on(served, name), "four jobs on it")
            victim.send_signal(signal.SIGKILL)
            assert all(not failed for _, failed in answers.result())
        assert [text for text, _ in answers.result()] == [f"{i} {WORDS}" for i in range(20)]
        assert {served.redis.hget(f"iq:job:{job_id}", "tries") for job_id in hit} == {b"2"}

    @pytest.mark.parametrize("continues", [1, 0], ids=["continued", "computed again"])
    def test_a_job_that_had_sent_text_goes_on_where_it_stopped(
        self, served: Stack, twenty: Callable[[], Any], continues: int
    ) -> None:
        victim, name = named(served, echo_rate=4, echo_continue=continues)
        named(served, echo_rate=40, echo_continue=continues)
        with ThreadPoolExecutor(1) as pool:
            answers = pool.submit(twenty)
            hit = wait_for(
                lambda: (jobs := running_on(served, name)) and all(served.events(j) > 2 for j in jobs) and jobs,
                "text from it",
            )
            victim.send_signal(signal.SIGKILL)
            assert answers.result() == [(f"{i} {WORDS}", None) for i in range(20)]
        assert len(hit) >= 1
        assert {served.redis.hget(f"iq:job:{job_id}", "tries") for job_id in hit} == {b"2"}


def test_a_frozen_worker_is_fenced_when_it_wakes_and_serves_on(served: Stack) -> None:
    frozen, name = named(served, echo_prefill_ms=1500)
    jobs = [complete_later(served, f"{i} {WORDS}") for i in range(4)]
    wait_for(lambda: len(running_on(served, name)) == 4, "four jobs on it")
    frozen.send_signal(signal.SIGSTOP)
    other, _ = named(served)
    assert [result(served, job) for job in jobs] == [f"{i} {WORDS}" for i in range(4)]
    assert {served.redis.hget(f"iq:job:{job}", "tries") for job in jobs} == {b"2"}
    before = {job: served.events(job) for job in jobs}
    frozen.send_signal(signal.SIGCONT)
    other.terminate()
    other.wait(20)
    assert result(served, complete_later(served, "after")) == "after"
    assert frozen.poll() is None
    assert {job: served.events(job) for job in jobs} == before
    assert [result(served, job) for job in jobs] == [f"{i} {WORDS}" for i in range(4)]


def test_streams_and_jobs_outlive_a_killed_redis(empty: Stack) -> None:
    empty.start_gateway(processes=2)
    _, name = named(empty, echo_rate=4)
    client = empty.client()
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask, client, i) for i in range(4)]
        hit = wait_for(lambda: len(running_on(empty, name)) == 4 and running_on(empty, name), "four streams")
        wait_for(lambda: all(empty.events(job) for job in hit), "text of each")
        queued = [complete_later(empty, f"{i} {WORDS}") for i in range(2)]
        empty.valkey.kill()
        empty.valkey.wait()
        time.sleep(1.5)
        empty.start_valkey()
        assert [answer.result() for answer in answers] == [(f"{i} {WORDS}", None) for i in range(4)]
    assert [result(empty, job) for job in queued] == [f"{i} {WORDS}" for i in range(2)]
    assert {empty.redis.hget(f"iq:job:{job}", "tries") for job in [*hit, *queued]} == {b"1"}


def test_queued_jobs_outlive_everything(empty: Stack) -> None:
    gateway = empty.start_gateway()
    worker, _ = named(empty, slots=1, echo_prefill_ms=60_000)
    jobs = [complete_later(empty, f"{i} {WORDS}") for i in range(5)]
    wait_for(lambda: list(empty.jobs().values()).count("in_progress") == 1, "one running")
    for process in (worker, gateway, empty.valkey):
        process.kill()
        process.wait()
    empty.start_valkey()
    wait_for(empty.port_is_free, "the end of the gateway's processes")
    empty.start_gateway()
    empty.start_worker()
    assert [result(empty, job) for job in jobs] == [f"{i} {WORDS}" for i in range(5)]


class TestStoppedWorker:
    def test_finishes_what_it_can_within_its_grace(self, served: Stack) -> None:
        worker, name = named(served, slots=2, echo_rate=10, grace=20)
        jobs = [complete_later(served, f"{i} {WORDS}") for i in range(3)]
        wait_for(lambda: len(running_on(served, name)) == 2, "two running")
        worker.terminate()
        assert worker.wait(20) == 0
        assert [served.state(job) for job in jobs] == ["completed", "completed", "queued"]
        assert not served.workers()

    def test_hands_the_rest_back_in_order(self, served: Stack) -> None:
        worker, name = named(served, slots=3, echo_prefill_ms=60_000, grace=0)
        jobs = [complete_later(served, f"{i} {WORDS}") for i in range(5)]
        wait_for(lambda: len(running_on(served, name)) == 3, "three running")
        worker.terminate()
        assert worker.wait(20) == 0
        queue: Any = served.redis.lrange("rq:queue:echo", 0, -1)
        assert [entry.decode() for entry in queue] == jobs
        served.start_worker(slots=1)
        assert [result(served, job) for job in jobs] == [f"{i} {WORDS}" for i in range(5)]
        assert {served.redis.hget(f"iq:job:{job}", "tries") for job in jobs} == {b"1"}
        started = [int(served.redis.hget(f"iq:job:{job}", "started") or 0) for job in jobs]
        assert started == sorted(started)

    def test_stops_while_redis_is_away(self, served: Stack) -> None:
        worker, name = named(served, echo_prefill_ms=60_000, grace=0)
        complete_later(served, WORDS)
        wait_for(lambda: running_on(served, name), "one running")
        served.valkey.kill()
        served.valkey.wait()
        worker.terminate()
        worker.wait(20)


def test_strange_queue_entries_kill_no_worker(served: Stack) -> None:
    worker, _ = named(served, slots=1)
    foreign = Queue("echo", connection=served.redis).enqueue("os.system", "touch /tmp/never")
    for entry in (b"", b"\xff\xfe", b"no-such-job", b"x" * 10_000):
        served.redis.rpush("rq:queue:echo", entry)
    assert result(served, complete_later(served, "after")) == "after"
    assert worker.poll() is None
    assert foreign.get_status() == "queued"  # nobody ran it
    wait_for(lambda: not served.redis.llen("rq:queue:echo:intermediate"), "the sweep of what is no job's id")


def test_rqs_own_tools_see_the_worker_and_the_queue(served: Stack) -> None:
    _, name = named(served, slots=1, echo_prefill_ms=60_000, grace=0)
    running, waiting = complete_later(served, "one"), complete_later(served, "two")
    wait_for(lambda: served.state(running) == "in_progress", "the first job")
    [worker] = Worker.all(connection=served.redis)
    assert worker.name == name.decode()
    assert worker.queue_names() == ["echo"]
    queue = Queue("echo", connection=served.redis)
    assert queue.job_ids == [waiting]
    assert any(running in entry for entry in queue.started_job_registry.get_job_ids())


def test_a_slot_is_not_lost_to_clients_that_leave(served: Stack) -> None:
    named(served, slots=1, echo_rate=2)
    for _ in range(3):
        stream = served.client().chat.completions.create(
            model="echo", messages=[{"role": "user", "content": WORDS}], stream=True
        )
        next(iter(stream))
        stream.close()
    wait_for(lambda: set(served.jobs().values()) == {"cancelled"}, "three cancelled jobs")
    assert result(served, complete_later(served, "next")) == "next"
