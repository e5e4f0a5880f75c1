"""What one execution leaves to the next, and what happens to a job that a worker cannot compute."""

from __future__ import annotations

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shared.protocol import Delta, Event, Progress, TokenLogprob
from shared.ticket import Answer
from shared.tickets import Tickets
from tests.calls import CHATS, COMPLETIONS, ask, chat, post_later, problem, raw_post, read, submit, submitted
from tests.losses import copy_of, go_back
from tests.stack import Stack, children, wait_for
from tests.tiny import TINY
from tests.transitions import append

WORDS = " ".join(f"w{i}" for i in range(14))
GPTJ = Path(__file__).parent / "fixtures" / "models" / "rustformers" / "gptj-Q4_0-GGJT.bin"


def serve(stack: Stack) -> None:
    """A gateway and a model that it knows, which nobody serves at the moment."""
    stack.start_gateway()
    stack.start_worker()
    stack.worker.terminate()
    stack.worker.wait(20)


def executed(stack: Stack, job_id: str, *events: Event, by: str = "0123456789abcdef-00000000") -> None:
    """Another worker has begun the job, sent these events, and handed it back."""
    tickets = Tickets(stack.redis)
    assert stack.redis.lmove("rq:queue:echo", "rq:queue:echo:intermediate") == job_id.encode()
    assert tickets.claim("echo", job_id, by, lease_ms=60_000, worker="another")
    assert append(tickets, job_id, by, 1, *events, model="echo") == (Answer.OK, len(events))
    assert tickets.release("echo", [(job_id, by)]) == 1


def test_an_answer_has_no_gap_where_redis_forgot_who_had_claimed_it(empty: Stack, pool: ThreadPoolExecutor) -> None:
    """The next execution numbers its events anew: those that the client has got already have other numbers."""
    serve(empty)
    waiting = pool.submit(read, empty, chat(WORDS))
    job_id = submitted(empty, (), "queued")
    copy = copy_of(empty)
    empty.start_worker(slots=1, echo_rate=5, echo_prefill_ms=100)  # which emits its progress
    wait_for(lambda: empty.events(job_id) >= 7, "five words")
    empty.worker.kill()
    empty.worker.wait()
    go_back(empty, copy)
    assert (empty.state(job_id), empty.events(job_id)) == ("queued", 0)
    empty.start_worker(slots=1, echo_rate=20)  # which emits none
    assert waiting.result(60) == WORDS


def test_an_event_of_another_version_in_the_past_is_passed_over(empty: Stack) -> None:
    serve(empty)
    job_id = post_later(empty.http(), "one two")
    executed(empty, job_id, Progress(0, 2), Delta("one", (1,)))
    key, ours = f"iq:events:{job_id}", b'{"type":"Progress","done":0,"total":2}'
    entries: Any = empty.redis.xrange(key)
    assert ours in entries[1][1][b"e"]
    empty.redis.delete(key)
    for entry_id, fields in entries:
        fields[b"e"] = fields[b"e"].replace(ours, b'{"type":"Thought","text":"hm"}')
        empty.redis.xadd(key, fields, id=entry_id)
    empty.start_worker(slots=1)
    wait_for(lambda: empty.state(job_id) == "completed", "its end")
    job = empty.http().get(f"/v1/jobs/{job_id}").json()
    assert job["result"]["choices"][0]["message"]["content"] == "one two"


def test_what_another_model_told_of_tokens_is_void(empty: Stack) -> None:
    """Nobody has read a part of it, so the answer starts over."""
    serve(empty)
    job_id = post_later(empty.http(), "one two", logprobs=True)
    executed(empty, job_id, Delta("one", (1,), logprobs=(TokenLogprob(1, b"one", -99.0),)))
    empty.start_worker(slots=1)
    wait_for(lambda: empty.state(job_id) == "completed", "its end")
    choice = empty.http().get(f"/v1/jobs/{job_id}").json()["result"]["choices"][0]
    assert choice["message"]["content"] == "one two"
    told = choice["logprobs"]["content"]
    assert [entry["token"] for entry in told] == ["one", " two"]
    assert min(entry["logprob"] for entry in told) > -99.0


def test_what_fails_before_it_is_computed_fails_that_job_alone(empty: Stack) -> None:
    serve(empty)
    poisoned = post_later(empty.http(), "one two")
    executed(empty, poisoned, Delta("one", (1,), index=7))  # a choice that it does not have
    after = post_later(empty.http(), "after")
    empty.start_worker(slots=1)
    wait_for(lambda: empty.state(after) == "completed", "the next job")
    assert empty.http().get(f"/v1/jobs/{poisoned}").json()["error"]["code"] == "internal_error"
    assert empty.redis.zcard("iq:leases:echo") == 0


def test_a_fenced_execution_is_forgotten(empty: Stack) -> None:
    empty.start_gateway()
    worker = empty.start_worker(slots=1, echo_prefill_ms=60_000, grace=60)
    job_id = post_later(empty.http(), "one two")
    wait_for(lambda: empty.events(job_id) == 1, "its progress")  # nothing is left to be sent
    worker.send_signal(signal.SIGSTOP)
    wait_for(lambda: empty.state(job_id) == "queued", "its recovery")
    assert empty.http().delete(f"/v1/jobs/{job_id}").json()["status"] == "cancelled"
    worker.send_signal(signal.SIGCONT)
    time.sleep(2)  # it learns that it was fenced
    worker.terminate()
    assert worker.wait(30) == 0  # with nothing left to wait for, and its grace is longer


def test_the_end_of_a_job_that_somebody_else_ended_is_refused(empty: Stack) -> None:
    """The sweep has ended it under the very number with which its worker comes back."""
    serve(empty)
    job_id = post_later(empty.http(), "one two")
    tickets = Tickets(empty.redis)
    empty.redis.lmove("rq:queue:echo", "rq:queue:echo:intermediate")
    assert tickets.claim("echo", job_id, "x", lease_ms=1, worker="another")
    tickets.cancel(job_id)
    wait_for(lambda: empty.state(job_id) == "cancelled", "the sweep")
    assert append(tickets, job_id, "x", 1, Delta("one"), model="echo") == (Answer.FENCED, 1)


class TestAnAnswerThatCannotBeContinued:
    """What was sent of it is not how it comes out now."""

    PAST = Delta("something else", (1, 2))

    def test_starts_over_where_nobody_has_read_a_part(self, empty: Stack, pool: ThreadPoolExecutor) -> None:
        serve(empty)
        waiting = pool.submit(ask, empty, chat(WORDS))
        job_id = submitted(empty, (), "queued")
        executed(empty, job_id, self.PAST)
        empty.start_worker(echo_continue=0)
        assert waiting.result(60) == WORDS
        assert empty.http().get(f"/v1/jobs/{job_id}").json()["tokens"] == 14
        assert empty.redis.hget(f"iq:job:{job_id}", "tries") == b"2"

    def test_starts_over_for_who_polls(self, empty: Stack) -> None:
        serve(empty)
        job_id = post_later(empty.http(), WORDS)
        executed(empty, job_id, self.PAST)
        empty.start_worker(echo_continue=0)
        wait_for(lambda: empty.state(job_id) == "completed", "its end")
        job = empty.http().get(f"/v1/jobs/{job_id}").json()
        assert job["result"]["choices"][0]["message"]["content"] == WORDS
        with empty.http().stream("GET", f"/v1/jobs/{job_id}/events") as events:
            assert "something" not in "".join(events.iter_lines())

    def test_ends_with_an_error_where_somebody_has(self, empty: Stack, pool: ThreadPoolExecutor) -> None:
        serve(empty)
        connection = raw_post(empty, CHATS, chat(WORDS, stream=True))
        job_id = submitted(empty, (), "queued")
        executed(empty, job_id, self.PAST)
        empty.start_worker(echo_continue=0)
        wait_for(lambda: empty.state(job_id) == "failed", "its end")
        said = b""
        while b"worker_lost" not in said:
            said += connection.recv(65_536)
        assert b"something else" in said
        connection.close()


def test_a_job_that_has_run_does_not_die_of_the_queues_deadline(empty: Stack, pool: ThreadPoolExecutor) -> None:
    empty.start_gateway()
    empty.start_worker(slots=1, echo_rate=5)
    waiting = pool.submit(ask, empty, chat(WORDS), **{"x-request-timeout": "1"})
    job_id = submitted(empty, (), "in_progress")
    wait_for(lambda: empty.events(job_id) > 2, "text")
    empty.worker.kill()
    empty.worker.wait()
    wait_for(lambda: empty.state(job_id) == "queued", "its recovery")
    time.sleep(3)
    empty.start_worker(slots=1)
    assert waiting.result(60) == WORDS


def test_a_worker_whose_engine_does_not_come_back_hands_its_jobs_back(
    empty: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tmp_path / "tiny.bin"
    shutil.copy(GPTJ, model)
    empty.start_gateway()
    first = empty.start_worker(str(model), "--arch", "gptj", slots=1, threads=1)
    body = {"model": "tiny", "prompt": "a", "max_tokens": 8}
    assert empty.http().post(COMPLETIONS, json=body).status_code == 200
    [host] = children(first)
    os.kill(host, signal.SIGSTOP)
    job_id = submit(empty.http(), COMPLETIONS, body)
    wait_for(lambda: empty.state(job_id) == "in_progress", "its start")
    cached = list((tmp_path / "cache").rglob("*.gguf"))
    assert cached
    for file in cached:
        file.rename(f"{file}.away")
    os.kill(host, signal.SIGKILL)
    wait_for(lambda: empty.redis.hget(f"iq:job:{job_id}", "returned") == b"1", "its return", 60)
    assert empty.state(job_id) == "queued"
    for file in cached:
        Path(f"{file}.away").rename(file)
    empty.start_worker(str(model), "--arch", "gptj", slots=1, threads=1)
    wait_for(lambda: empty.state(job_id) == "completed", "its end", 60)


def test_a_model_of_another_file_goes_on_by_the_text(empty: Stack) -> None:
    """Its tokens mean something else there: llama.cpp would refuse these, or say something of its own."""
    empty.start_gateway()
    empty.start_worker(str(TINY), slots=1)
    name = next(iter(empty.workers())).rpartition("-")[0]
    empty.worker.terminate()
    empty.worker.wait(20)
    body = {"model": name, "prompt": "once", "max_tokens": 12, "temperature": 0}
    job_id = submit(empty.http(), COMPLETIONS, body)
    tickets = Tickets(empty.redis)
    empty.redis.lmove(f"rq:queue:{name}", f"rq:queue:{name}:intermediate")
    assert tickets.claim(name, job_id, "x-ffffffff", lease_ms=60_000, worker="another")
    sent = Delta(" upon a", (10**6, 10**6 + 1))
    assert append(tickets, job_id, "x-ffffffff", 1, sent, model=name) == (Answer.OK, 1)
    assert tickets.release(name, [(job_id, "x-ffffffff")]) == 1
    empty.start_worker(str(TINY), slots=1)
    wait_for(lambda: empty.state(job_id) in ("completed", "failed"), "its end")
    job = empty.http().get(f"/v1/jobs/{job_id}").json()
    assert job["status"] == "completed", job
    assert job["result"]["choices"][0]["text"].startswith(" upon a")


def test_a_wrong_place_in_a_record_is_told(empty: Stack) -> None:
    """A client comes with the id of an event that Redis has lost."""
    empty.start_gateway()
    empty.start_worker()
    job_id = post_later(empty.http(), WORDS)
    wait_for(lambda: empty.state(job_id) == "completed", "its end")
    http = empty.http()
    for lost in ("3-ffffffff", "99", "99-ffffffff"):
        answer = http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": lost})
        error = problem(answer, 400)
        assert (error["code"], error["param"]) == ("unknown_event", "Last-Event-ID")
