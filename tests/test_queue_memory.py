"""A Redis with little memory: nobody fills it for the others, what ends gives back, and what runs always goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from msgspec.structs import replace
from redis import OutOfMemoryError

from gateway.memory import MOST_OF_A_KEY, MOST_RETAINED
from shared import registry
from shared.audit import audit
from shared.codec import encode
from shared.errors import KeyMemoryFull, MemoryFull
from shared.protocol import Completion, Delta, Sampling
from shared.scripts import script
from shared.ticket import Attempt, Standing
from shared.tickets import Tickets
from tests.calls import CHATS, LATER, chat, data, post_later, problem, spoken
from tests.record import read
from tests.stack import Stack, stop, wait_for
from tests.transitions import ACCEPTED, END, append, claim, dequeue, lapse, submit, sweep

MEGABYTE = 1_000_000
MEMORY = 32 * 1024 * 1024


class Small(Stack):
    """A Valkey of 32 MB."""

    valkey_options = ("--maxmemory", str(MEMORY))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """Two keys, and one slot that takes half a second for each job."""
    stack = Small(tmp_path_factory.mktemp("small"), api_keys="greedy:greedy,other:other")
    try:
        stack.start_gateway()
        stack.start_worker(slots=1, echo_prefill_ms=500)
        yield stack
    finally:
        stack.close()


def http_of(stack: Stack, key: str) -> httpx.Client:
    http = stack.http()
    http.headers["Authorization"] = f"Bearer {key}"
    return http


def held(stack: Stack, owner: str) -> int:
    value: Any = stack.redis.hget("iq:bytes", owner)
    return int(value or 0)


def used(stack: Stack) -> int:
    info: Any = stack.redis.info("memory")
    return int(info["used_memory"])


def test_a_key_over_its_share_is_refused_and_the_others_are_served(small: Small) -> None:
    greedy, other = http_of(small, "greedy"), http_of(small, "other")
    text = "x" * MEGABYTE
    taken = []
    for _ in range(50):
        answer = greedy.post(CHATS, json=chat(text), headers=LATER)
        if answer.status_code != 202:
            break
        taken.append(answer.json()["id"])
    error = problem(answer, 429)
    assert error["code"] == "key_memory_full"
    assert str(int(MEMORY * MOST_OF_A_KEY)) in error["message"]
    assert "retry-after" in answer.headers
    assert len(taken) > 4  # on a slow machine some have ended meanwhile, and given back what they held
    assert MEGABYTE < held(small, "greedy") <= MEMORY * MOST_OF_A_KEY
    assert other.post(CHATS, json=chat("me too")).json()["choices"][0]["message"]["content"] == "me too"
    assert small.workers()
    for job_id in taken:
        assert greedy.delete(f"/v1/jobs/{job_id}").status_code == 200
    wait_for(lambda: not small.redis.exists("iq:bytes"), "the return of all bytes")
    assert not list(small.redis.scan_iter("iq:task:*"))
    assert audit(small.redis).findings == []
    assert post_later(greedy, text)


def test_what_is_submitted_and_cancelled_takes_no_room(small: Small) -> None:
    http = http_of(small, "greedy")
    text, before = "y" * MEGABYTE, used(small)
    for _ in range(2 * MEMORY // MEGABYTE):
        http.delete(f"/v1/jobs/{post_later(http, text)}")
    assert used(small) < before + MEMORY / 4
    assert held(small, "greedy") < 3 * MEGABYTE


def test_the_oldest_records_make_room(small: Small) -> None:
    tickets = Tickets(small.redis)
    ids = [f"old-{number}" for number in range(600)]
    for job_id in ids:
        wait_for(lambda: used(small) < 0.8 * MEMORY, "room")  # as whoever is refused would wait
        submit(tickets, job_id, owner="")
        dequeue(tickets)
        assert claim(tickets, job_id, f"x-{job_id}")
        append(tickets, job_id, f"x-{job_id}", 1, Delta("z" * 50_000), END)
    there = [bool(small.redis.exists(f"iq:job:{job_id}")) for job_id in ids]
    assert not there[0]
    assert there[-1]
    assert there == sorted(there), "one went before an older one"
    assert sum(there) * 50_000 > MEMORY / 4, "more went than had to"
    wait_for(lambda: used(small) < (MOST_RETAINED + 0.05) * MEMORY, "the room")
    assert not small.redis.exists("iq:events:old-0")
    assert http_of(small, "other").get("/v1/jobs/old-0").status_code == 404


def test_a_full_redis_takes_nothing_new_and_everything_else_goes_on(small: Small) -> None:
    http = http_of(small, "other")
    body = chat("one two three four", stream=True)
    with http.stream("POST", CHATS, json=body) as stream:
        lines = stream.iter_lines()
        small.redis.config_set("maxmemory", "1mb")
        try:
            with pytest.raises(OutOfMemoryError):
                small.redis.set("plain", 1)
            assert spoken(data(lines)) == "one two three four"
            answer = http.post(CHATS, json=chat("new"))
            assert problem(answer, 503)["code"] == "memory_full"
            assert answer.headers["retry-after"]
            worker = small.worker
            small.redis.script_flush()
            for key in small.redis.scan_iter("iq:card:*"):
                small.redis.delete(key)  # whose cards are announced anew, by whoever lives
            wait_for(lambda: registry.gateways(small.redis) and small.workers(), "the cards", 60)
            small.start_worker(slots=1)  # another one comes,
            stop(worker)  # and the first goes
            gateway = registry.gateways(small.redis)[0]
            registry.leave_gateway(small.redis, gateway.name)
            assert registry.gateways(small.redis) == []
        finally:
            small.redis.config_set("maxmemory", str(MEMORY))
    wait_for(lambda: http.post(CHATS, json=chat("new")).status_code == 200, "an answer")
    assert audit(small.redis).findings == []


# --- the scripts


def test_bytes_are_counted_for_what_waits_and_runs(tickets: Tickets) -> None:
    large = replace(ACCEPTED, task=Completion("m", ("w " * 5000,), Sampling(seed=1)))
    options: dict[str, Any] = {"reply": "", "max_queue": 10, "wait": 60, "keep": 60}
    tickets.submit("a", large, standing=Standing(most_bytes=40_000), **options)
    one = int(tickets.client.hget("iq:bytes", "o") or 0)
    assert 10_000 < one < 20_000
    tickets.submit("b", large, standing=Standing(most_bytes=40_000), **options)
    for most in (None, 1, 0):  # the owner's own share is named first, also where there is no memory at all
        with pytest.raises(KeyMemoryFull, match=f"hold {2 * one} bytes, and may hold 40000"):
            tickets.submit("c", large, standing=Standing(most_bytes=40_000), most_bytes=most, **options)
    tickets.submit("c", replace(large, owner="p"), standing=Standing(most_bytes=40_000), **options)
    for most in (0, 4 * one - 1):
        with pytest.raises(MemoryFull):
            tickets.submit("d", replace(large, owner="q"), most_bytes=most, **options)
    tickets.submit("d", large, again=True, most_bytes=0, **options)  # it was accepted before
    assert dequeue(tickets) == "a"
    assert claim(tickets, "a", "x")
    assert append(tickets, "a", "x", 1, Delta("v" * 1000))
    assert int(tickets.client.hget("iq:bytes", "o") or 0) > 3 * one + 1000
    append(tickets, "a", "x", 2, END)
    for job_id in "bcd":
        tickets.cancel(job_id)
    assert not tickets.client.exists("iq:bytes", "iq:task:a", "iq:task:b")
    assert tickets.client.zcard("iq:retained") == 4


def test_a_record_that_somebody_may_be_reading_does_not_go(tickets: Tickets) -> None:
    for job_id, reply in (("read", "iq:reply:2:g"), ("unread", "")):
        submit(tickets, job_id, reply=reply)
        tickets.cancel(job_id)
    assert tickets.evict("g", 1 << 30)[0] == 1
    assert tickets.evict("h", 1 << 30)[0] == 0, "one makes room at a time"
    assert [bool(tickets.client.exists(f"iq:job:{job_id}")) for job_id in ("read", "unread")] == [True, False]
    tickets.client.hincrby("iq:job:read", "ended", -15_000)
    gone, freed = tickets.evict("g", 1 << 30)
    assert (gone, freed > 1000) == (1, True)
    assert not tickets.client.exists("iq:retained", "iq:job:read", "iq:events:read")


def test_jobs_that_were_left_are_looked_for_among_few(tickets: Tickets) -> None:
    """The same request again and again, each time left, and the job ended by its answer."""
    first = Attempt("print", 0)
    for number in range(1100):
        job_id = f"j{number}"
        submit(tickets, job_id, attempt=first)
        dequeue(tickets)
        claim(tickets, job_id, f"x{number}")
        tickets.leave(job_id, job_id, "", first, linger=60)
        append(tickets, job_id, f"x{number}", 1, END)
    assert tickets.client.llen("iq:orphans:print:0") == 1000
    assert 0 < tickets.client.ttl("iq:orphans:print:0") <= 60
    tickets.client.config_resetstat()
    assert submit(tickets, "again", attempt=Attempt("print", 1)) == "j100", "it joins the first of those that are left"
    calls: Any = tickets.client.info("commandstats")
    assert sum(stat["calls"] for stat in calls.values()) < 100
    submit(tickets, "left", attempt=first)
    tickets.leave("left", "left", "", first, linger=60)
    tickets.cancel("left")
    assert b"left" not in tickets.client.lrange("iq:orphans:print:0", 0, -1)


def test_beside_an_earlier_release_the_task_goes_into_the_stream(tickets: Tickets) -> None:
    """Release 0.2.0 has it there once the stream is begun, and never looks for it beside it again."""
    for job_id in ("runs", "waits"):
        submit(tickets, job_id)
        assert dequeue(tickets) == job_id
        assert claim(tickets, job_id, f"x-{job_id}")
        assert append(tickets, job_id, f"x-{job_id}", 1, Delta("one"))
    tickets.release("m", [("waits", "x-waits")])
    assert tickets.client.exists("iq:task:runs", "iq:events:runs", "iq:task:waits", "iq:events:waits") == 4
    seconds, _ = tickets.client.time()
    tickets.client.set("iq:card:workers:old", '{"wire": 2, "model": "m"}')
    tickets.client.zadd("iq:live:workers", {"old": (seconds + 60) * 1000})
    lapse(tickets)
    assert not tickets.client.hexists("iq:lapse", "tidy"), "release 0.2.0 would write the stream anew, and fail"
    sweep(tickets)
    for job_id in ("runs", "waits"):
        record = read(tickets.client, job_id)
        assert (record.accepted, record.events) == (ACCEPTED, [Delta("one")])
    assert not tickets.client.exists("iq:task:runs", "iq:task:waits")
    got = claim(tickets, dequeue(tickets), "y")
    assert got is not None
    assert got.accepted == encode([ACCEPTED])


def test_what_an_earlier_release_ends_is_counted_anew(tickets: Tickets) -> None:
    submit(tickets, "a")
    submit(tickets, "b")
    assert tickets.client.hget("iq:bytes", "o")
    tickets.client.hset("iq:job:a", mapping={"state": "completed", "ended": 1})  # as release 0.2.0 does
    for index in ("deadlines", "waiting"):
        tickets.client.zremrangebyrank(f"iq:{index}:m", 0, 0)
    tickets.client.hset("iq:lapse", "counts", 1)
    lapse(tickets)
    left = tickets.client.hget("iq:job:b", "bytes")
    assert tickets.client.hgetall("iq:bytes") == {b"o": left, b"*": left}
    seconds, _ = tickets.client.time()
    tickets.client.set("iq:card:workers:old", '{"wire": 2, "model": "m"}')
    tickets.client.zadd("iq:live:workers", {"old": (seconds + 60) * 1000})
    lapse(tickets)
    submit(tickets, "c")
    assert tickets.client.hgetall("iq:bytes") == {b"o": left, b"*": left}, "nothing is counted beside it"
    script(tickets.client, "withdraw")(keys=[], args=["workers", "old"])
    tickets.client.delete("iq:former")
    while tickets.client.hexists("iq:lapse", "former"):
        lapse(tickets)
        time.sleep(0.01)
    assert tickets.client.hgetall("iq:bytes") == {b"o": left, b"*": left}
