"""Pushes may be lost, answers may not: whoever waits is compared with the ticket; nobody waits for what Redis has."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest

from tests.calls import CHATS, ENDLESS, LATER, ask, busy, chat, data, post_later, raw_post, read, spoken, submitted
from tests.losses import copy_of, go_back, lose_job
from tests.stack import Stack, children, wait_for

WORDS = " ".join(f"w{i}" for i in range(30))
PATIENCE = 40.0
"""Seconds: what is promised is 10, and machines differ by a factor of four."""


def follow(stack: Stack, job_id: str, begun: threading.Event | None = None) -> str:
    with stack.http().stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        if begun:
            begun.set()
        lines = (line for line in answer.iter_lines() if not line.startswith("id: "))
        chunks = list(data(lines))
    assert chunks[-1] == "[DONE]", chunks[-1]
    return spoken(chunks)


def reply_stream(stack: Stack) -> str:
    names: Any = stack.redis.zrange("iq:live:gateways", 0, -1)
    return str(names[0].decode())


def answered(waiting: Future[str]) -> str:
    return waiting.result(timeout=PATIENCE)


class TestAnEndThatNobodyTold:
    """The job has ended, and no push says so."""

    def test_trimmed_from_the_reply_stream_of_a_frozen_gateway(self, empty: Stack, pool: ThreadPoolExecutor) -> None:
        gateway = empty.start_gateway()
        empty.start_worker(echo_rate=20)
        waiting = pool.submit(read, empty, chat(WORDS))
        job_id = submitted(empty, (), "in_progress")
        wait_for(lambda: empty.events(job_id) > 3, "text")
        [process] = children(gateway)
        os.kill(process, signal.SIGSTOP)
        wait_for(lambda: empty.state(job_id) == "completed", "its end")
        empty.redis.xtrim(reply_stream(empty), maxlen=0, approximate=False)  # as other jobs' events would
        os.kill(process, signal.SIGCONT)
        assert answered(waiting) == WORDS

    def test_written_to_no_reply_stream(self, served: Stack, pool: ThreadPoolExecutor) -> None:
        """Ours had lapsed while another gateway attached, so that the ticket does not list it any more."""
        served.start_worker(echo_rate=10)
        waiting = pool.submit(ask, served, chat(WORDS))
        job_id = submitted(served, (), "in_progress")
        wait_for(lambda: served.events(job_id) > 3, "text")
        assert served.redis.hset(f"iq:job:{job_id}", "reply", "iq:reply:another") == 0
        assert served.redis.delete(reply_stream(served)) == 1
        assert answered(waiting) == WORDS

    def test_under_ids_that_lie_behind_the_readers_place(self, served: Stack, pool: ThreadPoolExecutor) -> None:
        """The clock of the new master is behind that of the old one."""
        served.start_worker(echo_rate=10)
        later = f"{int(time.time() * 1000) + 3_600_000}-0"
        stream = reply_stream(served)
        served.redis.xadd(stream, {"j": "nobody", "f": 1, "l": 1, "x": "", "e": "[]"}, id=later)
        time.sleep(1)  # it is read
        served.redis.delete(stream)
        served.redis.xgroup_create(stream, "reader", mkstream=True)
        assert answered(pool.submit(read, served, chat(WORDS))) == WORDS

    def test_to_a_gateway_that_began_while_memory_was_out(self, empty: Stack, pool: ThreadPoolExecutor) -> None:
        begun = time.monotonic()
        first = empty.start_gateway()
        rate = 10 / max(1, time.monotonic() - begun)  # it is to run on when the next one is there
        empty.start_worker(echo_rate=rate)
        job_id = post_later(empty.http(), WORDS)
        wait_for(lambda: empty.events(job_id) > 3, "text")
        empty.redis.config_set("maxmemory", "1")
        first.kill()
        first.wait()
        wait_for(empty.port_is_free, "the end of the gateway's processes")
        empty.start_gateway()
        assert answered(pool.submit(follow, empty, job_id)) == WORDS
        assert empty.redis.config_get("maxmemory")["maxmemory"] == "1"
        empty.redis.config_set("maxmemory", "0")

    def test_by_a_redis_that_lost_its_last_second_unnoticed(self, served: Stack, pool: ThreadPoolExecutor) -> None:
        served.start_worker(slots=1, echo_prefill_ms=1500)
        blocker = pool.submit(ask, served, chat("blocker"))
        submitted(served, (), "in_progress")
        copy = copy_of(served)
        known = set(served.jobs())
        lost = pool.submit(read, served, chat("lost"))
        job_id = submitted(served, known, "queued")
        go_back(served, copy)
        assert job_id not in served.jobs()
        assert answered(blocker) == "blocker"
        assert answered(lost) == "lost"


class TestALostJob:
    """Redis has lost an accepted job: whoever waits for it is served, and whatever else goes wrong is theirs alone."""

    @pytest.fixture
    def stack(self, served: Stack) -> Stack:
        served.start_worker(slots=1, echo_rate=100)
        return served

    def test_is_answered_to_whoever_joined_it(self, stack: Stack, pool: ThreadPoolExecutor) -> None:
        with busy(stack):
            known = set(stack.jobs())
            body, key = chat("mine"), {"Idempotency-Key": "k"}
            asked = [pool.submit(ask, stack, body, **key)]
            job_id = submitted(stack, known, "queued")
            begun = threading.Event()
            asked += [pool.submit(ask, stack, body, **key), pool.submit(follow, stack, job_id, begun)]
            wait_for(lambda: stack.redis.hget(f"iq:job:{job_id}", "joined"), "the second one")
            assert begun.wait(PATIENCE)
            time.sleep(1)  # the second one has what it needs to put the job back
            lose_job(stack, job_id)
        assert {answered(one) for one in asked} == {"mine"}

    def test_that_nobody_but_a_follower_knows(self, stack: Stack, pool: ThreadPoolExecutor) -> None:
        with busy(stack):
            job_id = post_later(stack.http(), "promised")
            begun = threading.Event()
            following = pool.submit(follow, stack, job_id, begun)
            assert begun.wait(PATIENCE)
            lose_job(stack, job_id)
            wait_for(lambda: stack.state(job_id) == "queued", "its return", PATIENCE)
            assert stack.redis.hget(f"iq:job:{job_id}", "kept") == b"1"
        assert answered(following) == "promised"

    def test_meets_a_full_queue(self, empty: Stack, pool: ThreadPoolExecutor) -> None:
        empty.settings["max_queue"] = 1
        empty.start_gateway()
        empty.start_worker(slots=1, echo_rate=100)
        with busy(empty):
            known = set(empty.jobs())
            lost = pool.submit(ask, empty, chat("lost"))
            job_id = submitted(empty, known, "queued")
            lose_job(empty, job_id)
            other = post_later(empty.http(), "faster")  # takes the only place
            assert empty.http().post(CHATS, json=chat("one more")).status_code == 429
            wait_for(lambda: empty.state(job_id) == "queued", "its return", PATIENCE)
        assert answered(lost) == "lost"
        wait_for(lambda: empty.state(other) == "completed", "the other")

    def test_that_had_sent_a_part_goes_on_where_it_stopped(self, served: Stack, pool: ThreadPoolExecutor) -> None:
        served.start_worker(echo_rate=8)
        waiting = pool.submit(read, served, chat(WORDS))
        job_id = submitted(served, (), "in_progress")
        wait_for(lambda: served.events(job_id) > 3, "text")
        served.redis.zrem("iq:leases:echo", job_id)
        lose_job(served, job_id)
        assert answered(waiting) == WORDS

    def test_while_memory_is_out_waits_without_harm_to_others(self, stack: Stack, pool: ThreadPoolExecutor) -> None:
        with busy(stack):
            known = set(stack.jobs())
            lost = pool.submit(ask, stack, chat("lost"))
            job_id = submitted(stack, known, "queued")
            known = set(stack.jobs())
            other = pool.submit(read, stack, chat("other"))
            submitted(stack, known, "queued")
            lose_job(stack, job_id)
            stack.redis.config_set("maxmemory", "1")
            wait_for(lambda: b"inferq_redis_up 1.0" in stack.http().get("/metrics").content, "metrics")
            time.sleep(7)  # it is found missing, and cannot be put back
            assert stack.state(job_id) == ""
        assert answered(other) == "other"
        stack.redis.config_set("maxmemory", "0")
        assert answered(lost) == "lost"

    def test_that_may_have_ended_long_ago_is_told_of(self, empty: Stack, pool: ThreadPoolExecutor) -> None:
        """A gateway that was away for longer than jobs are kept cannot know what became of them."""
        empty.settings["retention"] = 2
        gateway = empty.start_gateway()
        empty.start_worker(echo_rate=20)

        def ended() -> httpx.Response:
            return empty.http().post(CHATS, json=chat(WORDS))

        waiting = pool.submit(ended)
        job_id = submitted(empty, (), "in_progress")
        [process] = children(gateway)
        os.kill(process, signal.SIGSTOP)
        wait_for(lambda: empty.state(job_id) == "completed", "its end")
        wait_for(lambda: not empty.jobs(), "the end of its retention")
        empty.redis.xtrim(reply_stream(empty), maxlen=0, approximate=False)
        os.kill(process, signal.SIGCONT)
        answer = waiting.result(timeout=PATIENCE)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "worker_lost")
        assert not empty.jobs()


class TestWhoWaits:
    @pytest.mark.parametrize("promised_first", [True, False], ids=["promised first", "promised to who joined"])
    def test_a_promised_job_outlives_the_leaving_of_others(self, served: Stack, promised_first: bool) -> None:
        served.start_worker(slots=1, echo_rate=100)
        key = {"Idempotency-Key": "k"}

        def promise() -> str:
            headers = {"Content-Type": "application/json", **key, **LATER}
            answer = served.http().post(CHATS, content=json.dumps(chat("kept")), headers=headers)
            assert answer.status_code == 202
            return str(answer.json()["id"])

        with busy(served):
            known = set(served.jobs())
            promised = promise() if promised_first else ""
            leaver = raw_post(served, CHATS, chat("kept"), **key)
            job_id = submitted(served, known, "queued")
            wait_for(lambda: served.redis.hget(f"iq:job:{job_id}", "waiting"), "the other client")
            promised = promised or promise()
            leaver.close()
            wait_for(lambda: served.redis.hget(f"iq:job:{job_id}", "waiting") == b"", "its leaving")
            assert promised == job_id
            assert served.redis.zscore("iq:lingering:echo", job_id) is None
        wait_for(lambda: served.state(job_id) == "completed", "its end")

    @pytest.mark.parametrize("running", [False, True], ids=["queued", "running"])
    def test_a_client_that_redis_has_forgotten_is_answered(
        self, served: Stack, pool: ThreadPoolExecutor, running: bool
    ) -> None:
        """It had come again to a job that was about to be cancelled, and Redis lost just that."""
        served.start_worker(slots=2 if running else 1, echo_rate=10)
        with busy(served):
            known = set(served.jobs())
            waiting = [pool.submit(way, served, chat(WORDS)) for way in ((read,) if running else (ask, read))]
            wait_for(lambda: len(served.jobs().keys() - known) == len(waiting), "the jobs")
            jobs = served.jobs().keys() - known
            for job_id in jobs:
                wait_for(lambda job_id=job_id: not running or served.events(job_id) > 3, "text")  # type: ignore[misc]  # its default
                served.redis.hset(f"iq:job:{job_id}", "waiting", "")
                served.redis.zadd("iq:lingering:echo", {job_id: 1})
            wait_for(
                lambda: served.redis.hget("iq:counts:echo", "jobs:cancelled") == str(len(jobs)).encode(), "their end"
            )
        assert [answered(one) for one in waiting] == [WORDS] * len(waiting)
        assert {served.state(job_id) for job_id in jobs} == {"completed"}

    def test_who_waits_for_a_job_that_somebody_cancels_is_told(self, served: Stack, pool: ThreadPoolExecutor) -> None:
        served.start_worker(echo_rate=5)
        waiting = pool.submit(served.http().post, CHATS, json=chat(WORDS))
        job_id = submitted(served, (), "in_progress")
        assert served.http().delete(f"/v1/jobs/{job_id}").json()["status"] == "cancelled"
        answer = waiting.result(timeout=PATIENCE)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "cancelled")

    def test_a_leaving_that_redis_did_not_hear_is_told_later(self, served: Stack) -> None:
        served.start_worker(echo_rate=5)
        connection = raw_post(served, CHATS, chat(WORDS * 20, stream=True))
        job_id = submitted(served, (), "in_progress")
        wait_for(lambda: served.events(job_id) > 1, "text")
        served.valkey.kill()
        served.valkey.wait()
        connection.close()
        time.sleep(1.5)
        served.start_valkey()
        wait_for(lambda: served.state(job_id) == "cancelled", "the cancellation", PATIENCE)

    def test_the_jobs_of_a_dead_gateways_clients_wait_a_moment_and_are_cancelled(self, empty: Stack) -> None:
        first = empty.start_gateway()
        empty.start_worker(slots=1, echo_rate=100)
        blocker = post_later(empty.http(), ENDLESS)
        wait_for(lambda: empty.state(blocker) == "in_progress", "a full worker")
        known = set(empty.jobs())
        leaver = raw_post(empty, CHATS, chat("nobody comes back for it"))
        job_id = submitted(empty, known, "queued")
        gone = reply_stream(empty)
        for pid in (first.pid, *children(first)):
            os.kill(pid, signal.SIGKILL)
        wait_for(empty.port_is_free, "the end of the gateway's processes")
        leaver.close()
        empty.start_gateway()
        empty.redis.zadd("iq:live:gateways", {gone: 1})  # a minute later
        wait_for(lambda: empty.redis.zscore("iq:lingering:echo", job_id), "its lingering")
        keys = (gone, f"{gone}:jobs", f"iq:card:gateways:{gone}")
        wait_for(lambda: not empty.redis.exists(*keys), "its being forgotten")
        empty.redis.zadd("iq:lingering:echo", {job_id: 1})  # another quarter of a minute later
        wait_for(lambda: empty.state(job_id) == "cancelled", "its end")
        assert empty.state(blocker) == "in_progress"  # which was promised
