"""Whose turn it is: arrival, owners, weights, what jobs took, tiers; and permits, of which none is worth a job."""

from __future__ import annotations

import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from shared.protocol import Done
from shared.ticket import Standing, Tier
from shared.tickets import Tickets
from tests.answers import text
from tests.calls import CHATS, LATER, chat, post_later
from tests.record import read
from tests.stack import Stack, wait_for
from tests.transitions import END, append, claim, dequeue, permits, queue, submit, sweep

SLOTS = 4
OTHERS = [f"key-{number}" for number in range(9)]
ROUNDS = math.ceil(len(OTHERS) / SLOTS) + 1
"""Of the slots, in which each of the others is answered, whatever waits before them."""


def serve(tickets: Tickets, seconds: float | None = None) -> str:
    """Begin the next job; end it where it is said how long it took. Its id."""
    execution = uuid4().hex
    claimed = claim(tickets, "", execution)
    assert claimed
    if seconds is not None:
        tickets.client.hincrby(f"iq:job:{claimed.job_id}", "started", -int(seconds * 1000))
        append(tickets, claimed.job_id, execution, claimed.seq + 1, END)
    return claimed.job_id


def fill(tickets: Tickets, owner: str, count: int, tier: Tier = Tier.DEFAULT, weight: float = 1) -> list[str]:
    """Jobs `<owner>/<number>` wait."""
    ids = [f"{owner}/{number}" for number in range(count)]
    for job_id in ids:
        submit(tickets, job_id, owner=owner, most=1000, standing=Standing(tier, weight))
    return ids


def whose(ids: list[str]) -> Counter[str]:
    return Counter(job_id.partition("/")[0] for job_id in ids)


def grow_old(tickets: Tickets, ids: list[str], seconds: int) -> None:
    """They have waited so long already."""
    for job_id in ids:
        tickets.client.hincrby(f"iq:job:{job_id}", "created", -1000 * seconds)


class TestOwners:
    def test_one_alone_is_served_in_the_order_of_arrival_and_what_comes_back_keeps_its_place(
        self, tickets: Tickets
    ) -> None:
        ids = fill(tickets, "o", 6)
        first, second = (claim(tickets, "", execution) for execution in "xy")
        assert first
        assert second
        tickets.release("m", [(second.job_id, "y")])
        assert [first.job_id, *queue(tickets)] == ids
        assert [serve(tickets, 0) for _ in ids[1:]] == ids[1:]

    def test_nine_with_one_job_each_do_not_wait_for_one_with_five_hundred(self, tickets: Tickets) -> None:
        fill(tickets, "many", 500)
        for owner in OTHERS:
            fill(tickets, owner, 1)
        served = [serve(tickets, 1) for _ in range(ROUNDS * SLOTS)]
        assert set(OTHERS) <= set(whose(served))
        assert whose(served)["many"] == len(served) - len(OTHERS)  # and nobody else's slot stays empty

    def test_weights_divide_what_is_served(self, tickets: Tickets) -> None:
        fill(tickets, "heavy", 40, weight=3)
        fill(tickets, "light", 40)
        served = [serve(tickets) for _ in range(40)]
        for count in range(1, len(served) + 1):
            assert abs(whose(served[:count])["heavy"] - count * 3 / 4) <= 1

    def test_whoever_was_idle_has_saved_nothing_up(self, tickets: Tickets) -> None:
        fill(tickets, "busy", 60)
        for _ in range(20):
            serve(tickets)
        fill(tickets, "idle", 20)
        served = [serve(tickets) for _ in range(20)]
        assert abs(whose(served)["idle"] - 10) <= 1

    def test_whoever_had_nothing_to_do_for_a_while_owes_nothing_for_it(self, tickets: Tickets) -> None:
        fill(tickets, "first", 1)
        serve(tickets, 60)
        fill(tickets, "second", 60)
        for _ in range(40):  # the second one has caught up
            serve(tickets, 2)
        ids = [f"late/{number}" for number in range(10)]
        for job_id in ids:
            submit(tickets, job_id, owner="first", most=1000)
        served = [serve(tickets) for _ in range(20)]
        assert abs(whose(served)["late"] - 10) <= 1

    def test_whoever_comes_back_with_each_job_gets_no_more(self, tickets: Tickets) -> None:
        fill(tickets, "many", 40)
        fill(tickets, "again", 1)
        served = []
        for number in range(1, 21):
            served.append(serve(tickets, 1))
            if whose(served[-1:])["again"]:
                submit(tickets, f"again/{number}", owner="again", most=1000)
        assert abs(whose(served)["again"] - 10) <= 1

    def test_long_jobs_are_paid_for(self, tickets: Tickets) -> None:
        took = {"long": 10, "short": 1}
        for owner in took:
            fill(tickets, owner, 60)
        used = dict.fromkeys(took, 0)
        for _ in range(44):
            owner = whose([queue(tickets)[0]]).most_common()[0][0]
            assert whose([serve(tickets, took[owner])])[owner] == 1
            used[owner] += took[owner]
            assert abs(used["long"] - used["short"]) <= sum(took.values()) + 1
        assert used["long"] >= 30


class TestTiers:
    def test_the_better_one_first(self, tickets: Tickets) -> None:
        ids = [fill(tickets, tier, 2, tier) for tier in (Tier.FLEX, Tier.DEFAULT, Tier.PRIORITY)]
        assert queue(tickets) == ids[2] + ids[1] + ids[0]
        assert [serve(tickets) for _ in range(6)] == ids[2] + ids[1] + ids[0]

    @pytest.mark.parametrize(("worse", "better"), [(Tier.FLEX, Tier.DEFAULT), (Tier.DEFAULT, Tier.PRIORITY)])
    def test_what_is_due_takes_one_claim_in_four_and_starves_under_no_load(
        self, tickets: Tickets, worse: Tier, better: Tier
    ) -> None:
        grow_old(tickets, fill(tickets, worse, 5, worse), 3600)
        fill(tickets, better, 5, better)
        served = []
        for number in range(24):
            submit(tickets, f"{better}/more-{number}", owner=better, most=1000, standing=Standing(better))
            served.append(serve(tickets, 1))
        turns = [turn for turn, job_id in enumerate(served) if job_id.startswith(worse)]
        assert len(turns) == 5
        assert all(later - earlier == 4 for earlier, later in pairwise(turns))

    def test_what_is_not_due_waits(self, tickets: Tickets) -> None:
        grow_old(tickets, fill(tickets, Tier.FLEX, 3, Tier.FLEX), 500)
        better = fill(tickets, Tier.DEFAULT, 12)
        assert [serve(tickets) for _ in better] == better

    def test_each_tier_has_its_own_turns(self, tickets: Tickets) -> None:
        """Nobody's lines in flex put off his own chats."""
        fill(tickets, "o", 1, Tier.FLEX)
        serve(tickets, 600)
        submit(tickets, "chat", owner="o")
        fill(tickets, "other", 3)
        assert serve(tickets) in ("chat", "other/0")
        assert serve(tickets) in ("chat", "other/0")


class TestPermits:
    def test_a_dashboard_of_rq_eats_permits_and_a_sweep_makes_new_ones(self, tickets: Tickets) -> None:
        """`get_jobs` takes ids without a hash off the list: here that of a job which has ended by another's permit."""
        submit(tickets, "a")
        submit(tickets, "urgent", standing=Standing(Tier.PRIORITY))
        assert dequeue(tickets) == "a"
        assert serve(tickets, 0) == "urgent"
        assert permits(tickets) == ["urgent"]
        shown = Queue("m", connection=tickets.client, serializer=JSONSerializer).get_jobs()
        assert shown == permits(tickets) == []
        assert tickets.waits("m")
        sweep(tickets)
        assert permits(tickets) == ["a"]
        [job] = Queue("m", connection=tickets.client, serializer=JSONSerializer).get_jobs()
        assert (job.id, job.origin, job.func_name, job.get_status()) == ("a", "m", "worker.run.run", "queued")
        assert serve(tickets) == "a"

    @pytest.mark.parametrize("permit", ["", "b", "stranger"])
    def test_whatever_a_permit_names_the_first_is_served(self, tickets: Tickets, permit: str) -> None:
        submit(tickets, "a")
        submit(tickets, "b")
        claimed = claim(tickets, permit, "x")
        assert claimed
        assert claimed.job_id == "a"
        assert queue(tickets) == ["b"]

    @pytest.mark.parametrize("there", [0, 1, 5])
    def test_a_sweep_has_as_many_permits_as_jobs(self, tickets: Tickets, there: int) -> None:
        for job_id in "abc":
            submit(tickets, job_id)
        tickets.client.delete("rq:queue:m")
        for number in range(there):
            tickets.client.rpush("rq:queue:m", f"stranger-{number}")
        sweep(tickets)
        assert len(permits(tickets)) == 3


@pytest.fixture
def waiting(empty: Stack) -> Stack:
    """A gateway with a key for everybody, whose only worker has left."""
    keys = ",".join(f"{owner}:{owner}" for owner in ("many", *OTHERS))
    empty.settings["api_keys"] = keys
    empty.start_gateway()
    worker = empty.start_worker(slots=SLOTS)
    worker.terminate()
    worker.wait(20)
    return empty


def started(stack: Stack, job_id: str) -> int:
    value: Any = stack.redis.hget(f"iq:job:{job_id}", "started")
    return int(value)


def test_nine_keys_with_a_chat_each_do_not_wait_for_one_with_many(waiting: Stack, pool: ThreadPoolExecutor) -> None:
    http = waiting.http()

    def post(owner: str) -> str:
        answer = http.post(CHATS, json=chat(owner), headers={**LATER, "Authorization": f"Bearer {owner}"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    many = list(pool.map(post, ["many"] * 500))
    nine = list(pool.map(post, OTHERS))
    waiting.start_worker(slots=SLOTS, echo_prefill_ms=50)
    wait_for(lambda: all(waiting.state(job_id) == "completed" for job_id in nine), "the nine's end", 60)
    last = max(started(waiting, job_id) for job_id in nine)
    before = [job_id for job_id in many if waiting.state(job_id) != "queued" and started(waiting, job_id) < last]
    assert len(before) + len(nine) <= ROUNDS * SLOTS
    assert any(waiting.state(job_id) == "queued" for job_id in many)


def test_permits_lost_doubled_and_made_up_lose_and_double_nothing(served: Stack) -> None:
    http = served.http()
    worker = served.start_worker(slots=SLOTS)
    worker.terminate()
    worker.wait(20)
    jobs = [post_later(http, f"marker {number}") for number in range(40)]
    entries: list[Any] = served.redis.lrange("rq:queue:echo", 0, -1)
    assert len(entries) == len(jobs)
    served.redis.delete("rq:queue:echo")
    served.redis.rpush(
        "rq:queue:echo", "stranger", entries[7], entries[7], entries[30], b"\xff", "chatcmpl-" + 32 * "0"
    )
    served.start_worker(slots=SLOTS)
    wait_for(lambda: all(served.state(job_id) == "completed" for job_id in jobs), "all the ends", 60)
    for number, job_id in enumerate(jobs):
        record = read(served.redis, job_id)
        assert sum(isinstance(event, Done) for event in record.events) == 1
        assert text([event for event in record.events if event]) == f"marker {number}"
        assert served.redis.hget(f"iq:job:{job_id}", "tries") == b"1"
    wait_for(lambda: not served.redis.exists("rq:queue:echo", "rq:queue:echo:intermediate"), "the end of all permits")
