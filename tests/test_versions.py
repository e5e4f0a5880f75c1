"""A newer release on the same Redis: neither gateways nor workers mind what it writes. `make upgrade` takes longer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from shared import census, registry
from shared.audit import audit
from shared.codec import encode
from shared.errors import NotUnderstood
from shared.protocol import Accepted, Chat, Failed, Message, Sampling
from shared.tickets import MOST_RETURNS, Tickets
from tests.calls import CHATS, LATER, chat, data, post_later, problem, spoken
from tests.commands import inferq
from tests.record import read
from tests.stack import Stack, wait_for
from tests.transitions import claim, dequeue, start
from tests.upgrade.fleet import Pair
from tests.upgrade.sides import MADE_UP, THIS, Side

TEXT = "it is the same whoever computes it and whoever asks"
TALK = Accepted(Chat("echo", (Message("user", TEXT),), Sampling(1)), created=1)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path, THIS, lease=2, echo_rate=100)
    try:
        yield pair
    finally:
        pair.close()


def start_gateway(pair: Pair, side: Side) -> None:
    pair.side = side
    pair.spawn("gateway", gateway_processes=1)
    wait_for(lambda: pair.port_is_free() is False and ready(pair) is not None, "the gateway's answer")


def ready(pair: Pair) -> Any:
    try:
        return httpx.get(pair.url + "/readyz").json()
    except httpx.TransportError:
        return None


def start_worker(pair: Pair, side: Side, **settings: Any) -> None:
    known = pair.workers()
    pair.side = side
    pair.spawn("worker", "echo", **settings)
    wait_for(lambda: pair.workers() - known, "the worker's card", 60)


@pytest.mark.parametrize(
    ("gateway", "worker"), [(THIS, MADE_UP), (MADE_UP, THIS)], ids=["newer worker", "older worker"]
)
def test_a_gateway_and_a_worker_of_two_releases(pair: Pair, gateway: Side, worker: Side) -> None:
    start_gateway(pair, gateway)
    start_worker(pair, worker)
    http = pair.http()
    with http.stream("POST", CHATS, json=chat(TEXT, stream=True)) as answer:
        assert spoken(data(answer.iter_lines())) == TEXT
    assert http.post(CHATS, json=chat(TEXT)).json()["choices"][0]["message"]["content"] == TEXT
    job = post_later(http, TEXT)
    wait_for(lambda: pair.state(job) == "completed", "the end")
    record: Any = pair.redis.xrange(f"iq:events:{job}")
    written = b"".join(fields[b"e"] for _, fields in record)
    assert (b'"Thought"' in written) == (worker is MADE_UP), "the newer side wrote nothing new"
    assert (b"newer" in record[0][1]) == (worker is MADE_UP), "its first event begins the stream"
    assert (b'"newer"' in record[0][1][b"e"]) == (gateway is MADE_UP)
    assert (None in read(pair.redis, job).events) == (worker is MADE_UP)
    with http.stream("GET", f"/v1/jobs/{job}/events") as answer:
        followed = [line for line in answer.iter_lines() if not line.startswith("id: ")]
    assert spoken(data(followed)) == TEXT
    assert http.get(f"/v1/jobs/{job}").json()["result"]["choices"][0]["message"]["content"] == TEXT
    cancelled = post_later(http, "on and " * 1000)
    wait_for(lambda: pair.state(cancelled) == "in_progress", "the start")
    assert http.delete(f"/v1/jobs/{cancelled}").json()["status"] == "cancelled"
    assert [each.version == "999.0.0" for each in registry.workers(pair.redis)] == [worker is MADE_UP]
    assert_calm(pair)


def test_a_worker_hands_back_what_it_does_not_understand(pair: Pair) -> None:
    tickets = Tickets(pair.redis)
    tickets.submit("talk", TALK, reply="", max_queue=10, wait=60, keep=60)
    task: Any = pair.redis.get("iq:task:talk")
    pair.redis.set("iq:task:talk", task.replace(b'"Chat"', b'"Talk"'))
    pair.redis.hset("iq:job:talk", "head", encode([TALK.head()]).replace(b'"Chat"', b'"Talk"'))
    start_worker(pair, THIS)
    returned = int(wait_for(lambda: pair.redis.hget("iq:job:talk", "returned"), "its return"))
    assert returned < 4, "its four slots took it in turn, and left no time for anybody else"
    start_worker(pair, MADE_UP)
    wait_for(lambda: pair.state("talk") == "completed", "the end", 60)
    start_gateway(pair, THIS)
    answer = pair.http().get("/v1/jobs/talk/events")
    assert problem(answer, 503)["code"] == "other_version"
    assert_calm(pair)


def test_a_job_that_no_worker_understands_fails(empty: Stack) -> None:
    tickets, reason = Tickets(empty.redis), NotUnderstood("It is of another version.")
    start(tickets, "talk", "e0")
    for number in range(MOST_RETURNS):
        tickets.hand_back("m", "talk", f"e{number}", reason)
        assert dequeue(tickets) == "talk"
        assert claim(tickets, "talk", f"e{number + 1}")
    tickets.hand_back("m", "talk", f"e{MOST_RETURNS}", reason)
    assert empty.state("talk") == "failed"
    assert read(empty.redis, "talk").events == [Failed("other_version", "It is of another version.")]


def test_unknown_cards_keep_nobody_from_work(empty: Stack) -> None:
    empty.start_gateway()
    empty.start_worker()
    redis, worker = empty.redis, registry.workers(empty.redis)[0]
    model = json.loads(redis.get("iq:card:models:echo") or "")
    put_card(empty, "models", "echo", {**model, "modalities": ["text"]})
    for kind in registry.Kind:
        put_card(empty, kind, f"{kind}-foreign", {"what": ["is", {"this": 1}]})
        put_card(empty, kind, f"{kind}-list", [1])
        redis.zadd(f"iq:live:{kind}", {f"{kind}-none": 2e12})
        redis.set(f"iq:card:{kind}:{kind}-none", b"\xff not JSON")
    put_card(empty, "agents", "a1", {"machine": "m1"}, seconds=60)
    http = empty.http()
    assert http.get("/readyz").json()["models"] == ["echo"]
    assert [model["id"] for model in http.get("/v1/models").json()["data"]] == ["echo"]
    assert 'inferq_live_workers{model="echo"} 1.0' in http.get("/metrics").text
    assert worker.name in inferq("status", INFERQ_REDIS_URL=empty.settings["redis_url"]).stdout
    empty.worker.terminate()
    empty.worker.wait(20)
    job = http.post(CHATS, json=chat("x"), headers={**LATER, "x-request-timeout": "1"}).json()["id"]
    wait_for(lambda: empty.state(job) == "failed", "its deadline")
    assert_calm(empty)


def test_numbers_and_failures_of_another_version(empty: Stack) -> None:
    empty.redis.hset("iq:counts:m", mapping={"jobs:completed": 3, "newer": "made up", "mean": "0.5"})
    empty.redis.xadd(
        "iq:failures", {"newer": "1", "job": "j", "model": "m", "code": "c", "message": "why"}, id="5000-0"
    )
    assert census.numbers(empty.redis, ["m"])["m"].ended == {"completed": 3}
    assert census.failures(empty.redis, 10) == [census.Failure(5.0, "j", "m", "", "c", "why")]


def test_keys_that_only_another_version_knows(empty: Stack) -> None:
    empty.redis.set("iq:unheard:m", 1)
    put_card(empty, "agents", "a1", {"machine": "m1"})
    empty.redis.set("iq:counts:forgotten", 1)
    unknown = {"iq:unheard:m", "iq:live:agents", "iq:card:agents:a1"}
    assert unknown <= findings(empty), "nobody lives who could know them"
    worker = registry.Worker("w", "m", "host", pid=1, since=1, version="999.0.0")
    registry.announce(empty.redis, worker)
    assert findings(empty) == {"iq:counts:forgotten"}
    registry.forget_all(empty.redis)
    assert empty.redis.keys("iq:live:*") == empty.redis.keys("iq:card:*") == []


def findings(stack: Stack) -> set[str]:
    return {finding.subject for finding in audit(stack.redis, pause=0.01).findings}


def put_card(stack: Stack, kind: str, name: str, card: object, seconds: int | None = None) -> None:
    stack.redis.set(f"iq:card:{kind}:{name}", json.dumps(card), ex=seconds)
    stack.redis.zadd(f"iq:live:{kind}", {name: 2e12})
    if seconds:
        stack.redis.expire(f"iq:live:{kind}", seconds)


def assert_calm(stack: Stack) -> None:
    """No loop has failed, and the books balance."""
    failed = [line for line in httpx.get(stack.url + "/metrics").text.splitlines() if "loop_errors_total{" in line]
    assert [line for line in failed if not line.endswith(" 0.0")] == []
    for side in (THIS, MADE_UP):
        well, said = side.run("check", redis_url=str(stack.settings["redis_url"]))
        assert well, said
