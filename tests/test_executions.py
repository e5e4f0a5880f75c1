"""What one execution leaves to the next, and what happens to a job that a worker cannot compute."""

from __future__ import annotations

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shared import catalogue, registry
from shared.config import Config
from shared.protocol import Delta, Event, Progress, TokenLogprob
from shared.ticket import Answer
from shared.tickets import Tickets
from tests.calls import CHATS, COMPLETIONS, ask, chat, post_later, problem, raw_post, read, submit, submitted
from tests.losses import copy_of, go_back
from tests.model.proxy import Proxy
from tests.stack import Stack, children, wait_for
from tests.tiny import TINY
from tests.transitions import append
from worker.engines.echo import EchoEngine

ECHO = EchoEngine(catalogue.resolve("echo"), Config()).card
WORDS = " ".join(f"w{i}" for i in range(14))
GPTJ = Path(__file__).parent / "fixtures" / "models" / "rustformers" / "gptj-Q4_0-GGJT.bin"


def announce(stack: Stack) -> None:
    """The gateway knows a model, which nobody serves at the moment."""
    registry.announce(stack.redis, registry.Worker("gone", "echo", "host", pid=1, since=1, card=ECHO))
    registry.withdraw(stack.redis, "gone")


def executed(stack: Stack, job_id: str, *events: Event, by: str = "0123456789abcdef-00000000") -> None:
    """Another worker has begun the job, sent these events, and handed it back."""
    tickets = Tickets(stack.redis)
    assert stack.redis.lmove("rq:queue:echo", "rq:queue:echo:intermediate") == job_id.encode()
    assert tickets.claim("echo", job_id, by, lease_ms=60_000, worker="another")
    assert append(tickets, job_id, by, 1, *events, model="echo") == (Answer.OK, len(events))
    assert tickets.release("echo", [(job_id, by)]) == 1


@pytest.mark.parametrize("shuts", [False, True], ids=["asked again at once", "by the slot"])
def test_a_claim_whose_answer_was_lost_is_answered_alike(empty: Stack, shuts: bool) -> None:
    """Under another name the worker would be given nothing, and its job wait for a lease that nobody renews."""
    empty.settings["lease"] = 60
    empty.start_gateway()
    with closing(Proxy(empty.redis_port)) as proxy:
        empty.start_worker(slots=1, redis_url=f"redis://127.0.0.1:{proxy.port}/0")
        proxy.only, proxy.shuts, proxy.armed = f"-{ECHO.digest}".encode(), shuts, True
        job_id = submit(empty.http(), CHATS, chat(WORDS))
        wait_for(lambda: proxy.lost, "the loss")
        owner = empty.redis.hget(f"iq:job:{job_id}", "exec")
        if shuts:
            wait_for(lambda: proxy.refused > 3, "the end of its patience")  # it connects anew so often for one command
            proxy.shuts = False
        wait_for(lambda: empty.state(job_id) == "completed", "the answer")
        assert empty.redis.hmget(f"iq:job:{job_id}", "exec", "tries") == [owner, b"1"]
        assert ask(empty, chat(WORDS)) == WORDS  # by the next claim


def test_an_answer_has_no_gap_where_redis_forgot_who_had_claimed_it(served: Stack, pool: ThreadPoolExecutor) -> None:
    """The next execution numbers its events anew: those that the client has got already have other numbers."""
    announce(served)
    waiting = pool.submit(read, served, chat(WORDS))
    job_id = submitted(served, (), "queued")
    copy = copy_of(served)
    served.start_worker(slots=1, echo_rate=5, echo_prefill_ms=100)  # which emits its progress
    wait_for(lambda: served.events(job_id) >= 7, "five words")
    served.worker.kill()
    served.worker.wait()
    go_back(served, copy)
    assert (served.state(job_id), served.events(job_id)) == ("queued", 0)
    served.start_worker(slots=1, echo_rate=20)  # which emits none
    assert waiting.result(60) == WORDS


def test_an_event_of_another_version_in_the_past_is_passed_over(served: Stack) -> None:
    announce(served)
    job_id = post_later(served.http(), "one two")
    executed(served, job_id, Progress(0, 2), Delta("one", (1,)))
    key, ours = f"iq:events:{job_id}", b'{"type":"Progress","done":0,"total":2}'
    entries: Any = served.redis.xrange(key)
    assert ours in entries[1][1][b"e"]
    served.redis.delete(key)
    for entry_id, fields in entries:
        fields[b"e"] = fields[b"e"].replace(ours, b'{"type":"Thought","text":"hm"}')
        served.redis.xadd(key, fields, id=entry_id)
    served.start_worker(slots=1)
    wait_for(lambda: served.state(job_id) == "completed", "its end")
    job = served.http().get(f"/v1/jobs/{job_id}").json()
    assert job["result"]["choices"][0]["message"]["content"] == "one two"


def test_what_another_model_told_of_tokens_is_void(served: Stack) -> None:
    """Nobody has read a part of it, so the answer starts over."""
    announce(served)
    job_id = post_later(served.http(), "one two", logprobs=True)
    executed(served, job_id, Delta("one", (1,), logprobs=(TokenLogprob(1, b"one", -99.0),)))
    served.start_worker(slots=1)
    wait_for(lambda: served.state(job_id) == "completed", "its end")
    choice = served.http().get(f"/v1/jobs/{job_id}").json()["result"]["choices"][0]
    assert choice["message"]["content"] == "one two"
    told = choice["logprobs"]["content"]
    assert [entry["token"] for entry in told] == ["one", " two"]
    assert min(entry["logprob"] for entry in told) > -99.0


def test_what_fails_before_it_is_computed_fails_that_job_alone(served: Stack) -> None:
    announce(served)
    poisoned = post_later(served.http(), "one two")
    executed(served, poisoned, Delta("one", (1,), index=7))  # a choice that it does not have
    after = post_later(served.http(), "after")
    served.start_worker(slots=1)
    wait_for(lambda: served.state(after) == "completed", "the next job")
    assert served.http().get(f"/v1/jobs/{poisoned}").json()["error"]["code"] == "internal_error"
    leased: Any = served.redis.zrange("iq:leases:echo", 0, -1)  # where the gateway may have put back another test's
    assert not {poisoned.encode(), after.encode()} & set(leased)


def test_a_fenced_execution_is_forgotten(served: Stack) -> None:
    worker = served.start_worker(slots=1, echo_prefill_ms=60_000, grace=60)
    job_id = post_later(served.http(), "one two")
    wait_for(lambda: served.events(job_id) == 1, "its progress")  # nothing is left to be sent
    worker.send_signal(signal.SIGSTOP)
    wait_for(lambda: served.state(job_id) == "queued", "its recovery")
    assert served.http().delete(f"/v1/jobs/{job_id}").json()["status"] == "cancelled"
    worker.send_signal(signal.SIGCONT)
    time.sleep(2)  # it learns that it was fenced
    worker.terminate()
    assert worker.wait(30) == 0  # with nothing left to wait for, and its grace is longer


def test_the_end_of_a_job_that_somebody_else_ended_is_refused(served: Stack) -> None:
    """The sweep has ended it under the very number with which its worker comes back."""
    announce(served)
    job_id = post_later(served.http(), "one two")
    tickets = Tickets(served.redis)
    served.redis.lmove("rq:queue:echo", "rq:queue:echo:intermediate")
    assert tickets.claim("echo", job_id, "x", lease_ms=1, worker="another")
    tickets.cancel(job_id)
    wait_for(lambda: served.state(job_id) == "cancelled", "the sweep")
    assert append(tickets, job_id, "x", 1, Delta("one"), model="echo") == (Answer.FENCED, 1)


class TestAnAnswerThatCannotBeContinued:
    """What was sent of it is not how it comes out now."""

    PAST = Delta("something else", (1, 2))

    def test_starts_over_where_nobody_has_read_a_part(self, served: Stack, pool: ThreadPoolExecutor) -> None:
        announce(served)
        waiting = pool.submit(ask, served, chat(WORDS))
        job_id = submitted(served, (), "queued")
        executed(served, job_id, self.PAST)
        served.start_worker(echo_continue=0)
        assert waiting.result(60) == WORDS
        assert served.http().get(f"/v1/jobs/{job_id}").json()["tokens"] == 14
        assert served.redis.hget(f"iq:job:{job_id}", "tries") == b"2"

    def test_starts_over_for_who_polls(self, served: Stack) -> None:
        announce(served)
        job_id = post_later(served.http(), WORDS)
        executed(served, job_id, self.PAST)
        served.start_worker(echo_continue=0)
        wait_for(lambda: served.state(job_id) == "completed", "its end")
        job = served.http().get(f"/v1/jobs/{job_id}").json()
        assert job["result"]["choices"][0]["message"]["content"] == WORDS
        with served.http().stream("GET", f"/v1/jobs/{job_id}/events") as events:
            assert "something" not in "".join(events.iter_lines())

    def test_ends_with_an_error_where_somebody_has(self, served: Stack, pool: ThreadPoolExecutor) -> None:
        announce(served)
        connection = raw_post(served, CHATS, chat(WORDS, stream=True))
        job_id = submitted(served, (), "queued")
        executed(served, job_id, self.PAST)
        served.start_worker(echo_continue=0)
        wait_for(lambda: served.state(job_id) == "failed", "its end")
        said = b""
        while b"worker_lost" not in said:
            said += connection.recv(65_536)
        assert b"something else" in said
        connection.close()


def test_a_job_that_has_run_does_not_die_of_the_queues_deadline(served: Stack, pool: ThreadPoolExecutor) -> None:
    served.start_worker(slots=1, echo_rate=5)
    waiting = pool.submit(ask, served, chat(WORDS), **{"x-request-timeout": "1"})
    job_id = submitted(served, (), "in_progress")
    wait_for(lambda: served.events(job_id) > 2, "text")
    served.worker.kill()
    served.worker.wait()
    wait_for(lambda: served.state(job_id) == "queued", "its recovery")
    time.sleep(3)
    served.start_worker(slots=1)
    assert waiting.result(60) == WORDS


def test_a_worker_whose_engine_does_not_come_back_hands_its_jobs_back(
    served: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tmp_path / "tiny.bin"
    shutil.copy(GPTJ, model)
    first = served.start_worker(str(model), "--arch", "gptj", slots=1, threads=1)
    body = {"model": "tiny", "prompt": "a", "max_tokens": 8}
    assert served.http().post(COMPLETIONS, json=body).status_code == 200
    [host] = children(first)
    os.kill(host, signal.SIGSTOP)
    job_id = submit(served.http(), COMPLETIONS, body)
    wait_for(lambda: served.state(job_id) == "in_progress", "its start")
    cached = list((tmp_path / "cache").rglob("*.gguf"))
    assert cached
    for file in cached:
        file.rename(f"{file}.away")
    os.kill(host, signal.SIGKILL)
    wait_for(lambda: served.redis.hget(f"iq:job:{job_id}", "returned") == b"1", "its return", 60)
    assert served.state(job_id) == "queued"
    for file in cached:
        Path(f"{file}.away").rename(file)
    served.start_worker(str(model), "--arch", "gptj", slots=1, threads=1)
    wait_for(lambda: served.state(job_id) == "completed", "its end", 60)


def test_a_model_of_another_file_goes_on_by_the_text(served: Stack) -> None:
    """Its tokens mean something else there: llama.cpp would refuse these, or say something of its own."""
    served.start_worker(str(TINY), slots=1)
    name = next(iter(served.workers())).rpartition("-")[0]
    served.worker.terminate()
    served.worker.wait(20)
    body = {"model": name, "prompt": "once", "max_tokens": 12, "temperature": 0}
    job_id = submit(served.http(), COMPLETIONS, body)
    tickets = Tickets(served.redis)
    served.redis.lmove(f"rq:queue:{name}", f"rq:queue:{name}:intermediate")
    assert tickets.claim(name, job_id, "x-ffffffff", lease_ms=60_000, worker="another")
    sent = Delta(" upon a", (10**6, 10**6 + 1))
    assert append(tickets, job_id, "x-ffffffff", 1, sent, model=name) == (Answer.OK, 1)
    assert tickets.release(name, [(job_id, "x-ffffffff")]) == 1
    served.start_worker(str(TINY), slots=1)
    wait_for(lambda: served.state(job_id) in ("completed", "failed"), "its end")
    job = served.http().get(f"/v1/jobs/{job_id}").json()
    assert job["status"] == "completed", job
    assert job["result"]["choices"][0]["text"].startswith(" upon a")


def test_a_wrong_place_in_a_record_is_told(served: Stack) -> None:
    """A client comes with the id of an event that Redis has lost."""
    served.start_worker()
    job_id = post_later(served.http(), WORDS)
    wait_for(lambda: served.state(job_id) == "completed", "its end")
    http = served.http()
    for lost in ("3-ffffffff", "99", "99-ffffffff"):
        answer = http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": lost})
        error = problem(answer, 400)
        assert (error["code"], error["param"]) == ("unknown_event", "Last-Event-ID")
