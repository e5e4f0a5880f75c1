"""A loop survives whatever its step does, and says when it keeps failing."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared import registry
from shared.loops import Loop, Loops
from shared.protocol import Accepted, Completion, Delta, Done, Failed, Sampling, Usage
from shared.ticket import Claim
from shared.tickets import Tickets
from tests.calls import CHATS, chat, post_later
from tests.commands import inferq
from tests.record import read
from tests.stack import Stack, wait_for
from worker.execution import Execution
from worker.publish import Publisher


@pytest.fixture
def started() -> Iterator[Callable[[Loop], Loop]]:
    loops: list[Loop] = []

    def start(loop: Loop) -> Loop:
        loops.append(loop)
        loop.start()
        return loop

    yield start
    for loop in loops:
        loop.stop(5)


def test_survives_every_exception_and_counts_them(
    started: Callable[[Loop], Loop], caplog: pytest.LogCaptureFixture
) -> None:
    errors = [ValueError("one"), MemoryError(), RecursionError(), KeyError("x"), OSError(11, "fork refused")]
    steps, told = [], list[str]()

    def step() -> None:
        steps.append(1)
        if errors:
            raise errors.pop(0)

    caplog.set_level(logging.INFO, "shared.loops")
    loop = started(Loop("keeper", step, pause=0.01, on_error=told.append))
    wait_for(lambda: len(steps) > 8, "its going on")
    assert loop.errors == 5
    assert told == ["keeper"] * 5
    assert loop.trouble == ""
    assert "keeper works again, after 5 failures" in caplog.text
    assert "ValueError: one" in caplog.text


def test_says_that_it_keeps_failing_and_logs_the_same_reason_once(
    started: Callable[[Loop], Loop], caplog: pytest.LogCaptureFixture
) -> None:
    broken = [True]

    def step() -> None:
        if broken:
            raise ValueError("the same")

    loop = started(Loop("keeper", step, pause=0.01))
    wait_for(lambda: loop.trouble, "trouble")
    assert loop.trouble == "keeper: ValueError: the same"
    assert sum("the same" in record.getMessage() for record in caplog.records) == 1
    broken.clear()
    wait_for(lambda: not loop.trouble, "its recovery")


def test_the_loops_of_a_process_tell_their_trouble_together() -> None:
    loops = Loops()

    def fail() -> None:
        raise ValueError("no")

    well, ill = loops.start("well", lambda: None, pause=0.01), loops.start("ill", fail)
    try:
        wait_for(lambda: loops.trouble, "trouble")
        assert loops.trouble == "ill: ValueError: no"
        assert loops.errors()["well"] == 0
        assert loops.errors()["ill"] >= 3
    finally:
        well.stop(5)
        ill.stop(5)


class TestOfAGateway:
    """The sweep of one model keeps failing, because its key is not what it should be."""

    def test_that_keeps_failing_is_told_and_harms_no_other_model(self, empty: Stack) -> None:
        empty.start_gateway()
        empty.start_worker(slots=1)
        http = empty.http()
        assert http.post(CHATS, json=chat("Hello")).status_code == 200
        empty.redis.sadd("rq:queues", "rq:queue:spoiled")
        empty.redis.set("iq:sweep:spoiled", "no hash")
        empty.redis.set("rq:queue:spoiled", "no list")  # somebody still needs it, so it is not forgotten
        unready = wait_for(lambda: (answer := http.get("/readyz")).status_code == 503 and answer.json(), "trouble")
        assert unready["reason"] == "loop_failing"
        assert re.search(r'^inferq_loop_errors_total\{loop="sweep"\} [1-9]', http.get("/metrics").text, re.MULTILINE)
        wait_for(lambda: [g.reason for g in registry.gateways(empty.redis) if "sweep" in g.reason], "the card", 40)
        shown = inferq("status", INFERQ_REDIS_URL=str(empty.settings["redis_url"])).stdout
        assert "not well: sweep: ResponseError" in shown
        assert http.post(CHATS, json=chat("Hello")).status_code == 200
        empty.worker.kill()
        empty.worker.wait()
        headers = {"Prefer": "respond-async", "x-request-timeout": "1"}
        job_id = str(http.post(CHATS, json=chat("one"), headers=headers).json()["id"])
        wait_for(lambda: empty.state(job_id) == "failed", "its deadline")
        empty.redis.delete("iq:sweep:spoiled", "rq:queue:spoiled")
        wait_for(lambda: not registry.gateways(empty.redis)[0].reason, "its recovery", 40)
        wait_for(lambda: "loop_failing" not in http.get("/readyz").text, "readiness")


def test_what_a_newer_card_says_ends_no_loop(empty: Stack) -> None:
    empty.settings["request_timeout"] = 2
    empty.start_gateway()
    empty.start_worker()
    blob: Any = empty.redis.get("iq:card:models:echo")
    empty.redis.set("iq:card:models:new", json.dumps({**json.loads(blob), "id": "new", "modalities": ["text"]}))
    empty.redis.set("iq:card:models:newer", json.dumps(["a", "list"]))
    empty.redis.zadd("iq:live:models", {"new": 10**13, "newer": 10**13})
    http = empty.http()
    wait_for(lambda: [model["id"] for model in http.get("/v1/models").json()["data"]] == ["echo", "new"], "the new one")
    empty.worker.kill()
    empty.worker.wait()
    job_id = post_later(http, "nobody computes it")
    wait_for(lambda: empty.state(job_id) == "failed", "its deadline")
    assert 'loop="directory"} 0.0' in http.get("/metrics").text


def test_an_event_that_cannot_be_written_fails_its_job_alone(empty: Stack) -> None:
    tickets, loops = Tickets(empty.redis), Loops()
    publisher = Publisher(empty.redis, "m", loops)
    executions = []
    for name in ("good", "bad"):
        accepted = Accepted(Completion("m", ("x",), Sampling(seed=1)), created=1)
        tickets.submit(name, accepted, reply="", max_queue=9, wait=60, keep=60)
        empty.redis.lmove("rq:queue:m", "rq:queue:m:intermediate")
        claim = tickets.claim("m", name, "x-" + name, lease_ms=60_000, worker="w")
        assert isinstance(claim, Claim)
        executions.append(Execution("x-" + name, claim))
    good, bad = executions
    publisher.publish(bad, Delta("\ud800"))
    publisher.publish(good, Delta("fine"))
    publisher.publish(good, Done(Usage(1, 1)))
    wait_for(lambda: empty.state("good") == "completed" and empty.state("bad") == "failed", "both ends")
    wait_for(lambda: not publisher._running, "that it holds none of their events")
    publisher.publish(bad, Delta("too late"))
    assert bad.cancelled
    publisher.stop()
    assert loops.errors() == {"publisher": 0}
    assert [type(event) for event in read(empty.redis, "bad").events] == [Failed]
