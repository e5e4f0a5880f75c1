"""Which worker a job is given: the one that has read the most of its prompt, if that is not waited for too long."""

from __future__ import annotations

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from shared import census, registry
from shared.card import Card
from shared.protocol import Accepted, Caching, Chat, Completion, Message, Sampling
from shared.registry import Worker
from shared.ticket import Claim, LeftForOthers, Standing, Tier
from shared.tickets import Tickets
from shared.trail import LEAST, MOST_MARKS, trail
from tests.calls import chat as body
from tests.stack import Stack
from tests.transitions import END, LEASE, append, permits

BOUND = 4
"""Jobs that may be begun before one, see `MOST_OVERTAKEN` in _schedule.lua."""


def conversation(topic: str, turns: int) -> Chat:
    """So many questions, all but the last one answered."""
    messages = [Message("system", "Be brief. " * LEAST)]
    for turn in range(turns):
        messages += [Message("user", f"{topic} {turn} " * 100), Message("assistant", f"That was {turn}.")]
    return Chat("m", tuple(messages[:-1]), Sampling(seed=7))


def accepted(task: Chat | Completion, owner: str = "o") -> Accepted:
    return Accepted(task, created=1, owner=owner)


def marks(task: Chat | Completion, owner: str = "o") -> list[str]:
    return trail(accepted(task, owner)).split()


def ready(tickets: Tickets, *names: str, model: str = "m") -> None:
    """Workers that have loaded the model."""
    for name in names:
        registry.announce(tickets.client, Worker(name, model, "h", 1, 1, Card(model, "echo", "", 100, 2, 1)))


def submit(tickets: Tickets, job_id: str, task: Chat | Completion, owner: str = "o", tier: Tier = Tier.DEFAULT) -> str:
    options: dict[str, Any] = {"max_queue": 100, "wait": 60, "keep": 60, "standing": Standing(tier)}
    return tickets.submit(job_id, accepted(task, owner), reply="", **options)


def claim(tickets: Tickets, worker: str, execution: str = "") -> str | None:
    """The job that it is given; None where all is left for others."""
    found = tickets.claim("m", "", execution or uuid4().hex, lease_ms=LEASE, worker=worker)
    if isinstance(found, Claim):
        return found.job_id
    assert isinstance(found, LeftForOthers), "nothing waits"
    assert 0 < found.ms <= 50
    return None


def read(tickets: Tickets, worker: str, topic: str, owner: str = "o") -> None:
    """It has answered the first turn of a conversation."""
    job_id, execution = uuid4().hex, uuid4().hex
    submit(tickets, job_id, conversation(topic, 1), owner)
    assert claim(tickets, worker, execution) == job_id
    append(tickets, job_id, execution, 1, END)


def wait_out(tickets: Tickets, *ids: str) -> None:
    """They were left 50 ms ago."""
    for job_id in ids:
        assert tickets.client.hincrby(f"iq:job:{job_id}", "left", -50)


class TestTrail:
    def test_a_chat_that_goes_on_has_a_mark_of_the_chat_before(self) -> None:
        for turns in range(1, 12):
            before, after = (marks(conversation("sky", count)) for count in (turns, turns + 1))
            assert before[0] in after
            assert before[0] != after[0]
            assert len(after) <= MOST_MARKS

    def test_chats_that_have_only_their_system_prompt_in_common_have_no_mark_in_common(self) -> None:
        assert not {*marks(conversation("sky", 2))} & {*marks(conversation("sea", 2))}

    def test_nobody_has_marks_of_somebody_else(self) -> None:
        sky = conversation("sky", 2)
        apart = replace(sky, sampling=replace(sky.sampling, caching=Caching(key="k")))
        unread = replace(sky, sampling=replace(sky.sampling, cache_prompt=False))
        for others in (marks(sky, "p"), marks(apart), marks(unread)):
            assert not {*marks(sky)} & {*others}

    def test_texts_have_the_marks_of_the_half_that_they_have_in_common(self) -> None:
        text = "".join(f"{number} " for number in range(1000))
        cut, whole, other = (Completion("m", (each,), Sampling(seed=7)) for each in (text[:-700], text, f"0{text}"))
        assert {*marks(cut)} & {*marks(whole)}
        assert not {*marks(whole)} & {*marks(other)}
        assert {*marks(Completion("m", (tuple(range(1000)),), Sampling(seed=7)))}

    def test_what_is_short_or_several_has_none(self) -> None:
        assert not marks(Chat("m", (Message("user", "Why is the sky blue?"),), Sampling(seed=7)))
        assert not marks(Completion("m", ("x" * LEAST, "y" * LEAST), Sampling(seed=7)))


class TestPlacing:
    def test_a_conversation_goes_on_where_it_was_read(self, tickets: Tickets) -> None:
        ready(tickets, "w1", "w2")
        read(tickets, "w1", "sky")
        submit(tickets, "next", conversation("sky", 2))
        assert claim(tickets, "w2") is None
        assert tickets.client.lrange("iq:permits:w1", 0, -1) == [b"next"]
        assert claim(tickets, "w1") == "next"
        assert not permits(tickets)

    def test_it_is_left_once_and_then_read_by_whoever_takes_it(self, tickets: Tickets) -> None:
        ready(tickets, "w1", "w2")
        read(tickets, "w1", "sky")
        submit(tickets, "second", conversation("sky", 2))
        assert claim(tickets, "w2") is None
        wait_out(tickets, "second")
        assert claim(tickets, "w2") == "second"
        submit(tickets, "third", conversation("sky", 3))
        assert claim(tickets, "w1") is None
        assert claim(tickets, "w2") == "third"

    def test_a_claim_that_is_sent_again_is_answered_alike(self, tickets: Tickets) -> None:
        ready(tickets, "w1", "w2")
        read(tickets, "w1", "sky")
        submit(tickets, "next", conversation("sky", 2))
        assert [claim(tickets, "w2", "x"), claim(tickets, "w2", "x")] == [None, None]
        assert tickets.client.llen("iq:permits:w1") == 1

    def test_who_was_given_the_jobs_is_counted_and_how_long_they_waited_for_him(self, tickets: Tickets) -> None:
        def counted(**expected: object) -> None:
            [found] = census.numbers(tickets.client, ["m"]).values()
            waited = {"left": sum(found.left), "seconds": found.left_seconds}
            assert found.placed | waited == {**dict.fromkeys(("reader", "other", "any"), 0), **expected}

        ready(tickets, "w1", "w2")
        read(tickets, "w1", "sky")
        submit(tickets, "second", conversation("sky", 2))
        assert claim(tickets, "w2") is None
        counted(any=1, left=0, seconds=0)
        wait_out(tickets, "second")
        assert claim(tickets, "w2", "x") == claim(tickets, "w2", "x") == "second"
        left, started = (int(tickets.client.hget("iq:job:second", field) or 0) for field in ("left", "started"))
        seconds = (started - left) / 1000
        assert seconds >= 0.05
        counted(any=1, other=1, left=1, seconds=seconds)
        tickets.release("m", [("second", "x")])  # it goes on, and has waited for nobody anew
        assert claim(tickets, "w2") == "second"
        counted(any=1, other=1, reader=1, left=1, seconds=seconds)
        assert not any(census.numbers(tickets.client, ["m"])["m"].left[:5]), "none was as short as 16 ms"

    def test_what_nobody_has_read_begins_in_the_order_of_arrival(self, tickets: Tickets) -> None:
        ready(tickets, "w1", "w2")
        read(tickets, "w1", "sky")
        ids = [submit(tickets, topic, conversation(topic, 1)) for topic in ("sea", "sun", "fog")]
        assert [claim(tickets, "w2"), claim(tickets, "w1"), claim(tickets, "w2")] == ids

    def test_nobody_is_left_a_job_of_somebody_else(self, tickets: Tickets) -> None:
        ready(tickets, "w1", "w2")
        read(tickets, "w1", "sky", "o")
        submit(tickets, "next", conversation("sky", 2), "p")
        assert claim(tickets, "w2") == "next"

    def test_the_share_of_one_that_is_gone_is_taken_at_once(self, tickets: Tickets) -> None:
        ready(tickets, "w1", "w2", "w3")
        read(tickets, "w1", "sky")
        submit(tickets, "next", conversation("sky", 2))
        registry.withdraw(tickets.client, "w1")
        assert claim(tickets, "w2") == "next"

    def test_one_worker_alone_leaves_no_job_and_no_trace(self, tickets: Tickets) -> None:
        ready(tickets, "w1")
        read(tickets, "w1", "sky")
        submit(tickets, "next", conversation("sky", 2))
        assert not tickets.client.exists("iq:readers:m")
        assert claim(tickets, "w2") == "next"


class TestBounds:
    def test_no_job_is_overtaken_by_more_than_four(self, tickets: Tickets) -> None:
        ready(tickets, "w1", "w2")
        read(tickets, "w1", "sky")
        read(tickets, "w2", "sea")
        submit(tickets, "sea", conversation("sea", 2))
        skies = [submit(tickets, f"sky {number}", conversation("sky", 2)) for number in range(6)]
        assert [claim(tickets, "w1") for _ in range(BOUND)] == skies[:BOUND]
        wait_out(tickets, "sea")
        assert [claim(tickets, "w1") for _ in range(3)] == ["sea", *skies[BOUND:]]

    def test_a_trail_of_another_version_may_have_any_length(self, tickets: Tickets) -> None:
        ready(tickets, "w1", "w2")
        submit(tickets, "long", conversation("sky", 1))
        tickets.client.hset("iq:job:long", "trail", " ".join(f"mark{number}" for number in range(20_000)))
        assert claim(tickets, "w1") == "long"

    def test_a_better_tier_is_not_overtaken_by_a_worse_one(self, tickets: Tickets) -> None:
        ready(tickets, "w1", "w2")
        read(tickets, "w1", "sky")
        submit(tickets, "better", conversation("sky", 2), tier=Tier.PRIORITY)
        submit(tickets, "worse", conversation("sea", 1))
        assert claim(tickets, "w2") is None
        wait_out(tickets, "better")
        assert [claim(tickets, "w2"), claim(tickets, "w2")] == ["better", "worse"]

    def test_owners_have_their_shares_whoever_has_read_their_prompts(self, tickets: Tickets) -> None:
        ready(tickets, "w1", "w2")
        for worker, owner in (("w1", "o"), ("w2", "p")):
            read(tickets, worker, owner, owner)
            for number in range(30):
                submit(tickets, f"{owner} {number}", conversation(owner, 2), owner)
        served = Counter[str]()
        while served.total() < 30:
            job_id = claim(tickets, "w1")
            served.update((job_id or "")[:1])
            for number in range(30):
                if tickets.client.hexists(f"iq:job:p {number}", "left"):
                    wait_out(tickets, f"p {number}")
        assert abs(served["o"] - served["p"]) <= BOUND + 1


def test_a_job_that_was_left_for_one_who_does_not_come_is_answered_by_another(served: Stack) -> None:
    tickets = Tickets(served.redis)
    served.start_worker()
    ready(tickets, "ghost", model="echo")
    first = replace(conversation("sky", 1), model="echo")
    text = [{"role": message.role, "content": message.content} for message in conversation("sky", 2).messages]
    known = accepted(first, "")
    tickets.submit("read", known, reply="", max_queue=9, wait=60, keep=60)
    for mark in trail(known).split():
        served.redis.hset("iq:readers:echo", mark, "ghost")
    answer = served.http().post("/v1/chat/completions", json=body("x") | {"messages": text})
    assert answer.status_code == 200
    ticket: Any = served.redis.hgetall(f"iq:job:{answer.json()['id']}")
    assert ticket[b"left"]
    assert ticket[b"tries"] == b"1"
    told = served.http().get("/metrics").text
    assert 'inferq_placements_total{model="echo",worker="other"}' in told
    waited = 'inferq_placement_wait_seconds_bucket{le="%s",model="echo"} %s.0'
    assert waited % (0.032, 0) in told, "for so long it was left alone"
    assert waited % ("+Inf", 0) not in told


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_share_of_one_that_is_hurt_is_taken_by_the_others(
    served: Stack, pool: ThreadPoolExecutor, number: signal.Signals
) -> None:
    workers = [served.start_worker(slots=2) for _ in range(2)]

    def ask(turns: int) -> Any:
        text = [{"role": each.role, "content": each.content} for each in conversation("sky", turns).messages]
        answer = served.http().post("/v1/chat/completions", json=body("x") | {"messages": text})
        assert answer.status_code == 200, answer.text
        return served.redis.hgetall(f"iq:job:{answer.json()['id']}")

    reader = ask(1)[b"worker"].decode()
    names = {worker.pid: worker.name for worker in registry.workers(served.redis)}
    next(worker for worker in workers if names[worker.pid] == reader).send_signal(number)
    told = list(pool.map(ask, [2] * 6))
    assert {ticket[b"worker"].decode() for ticket in told} == {*names.values()} - {reader}
    assert all(ticket[b"tries"] == b"1" for ticket in told)
    # It is left once, and not until he is known to be dead.
    waits = [int(ticket[b"started"]) - int(ticket[b"left"]) for ticket in told if b"left" in ticket]
    assert waits
    assert max(waits) < 1000 * served.settings["lease"]
