"""A better job finds all slots held by flex jobs: the youngest is handed back, and goes on later where it stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from shared import streams
from shared.protocol import Accepted, Chat, Delta, Event, Message, Sampling
from shared.ticket import Answer, Standing, Tier
from shared.tickets import Tickets
from tests.answers import text
from tests.calls import CHATS, chat, data, post_later, spoken
from tests.stack import Stack, running, stop, wait_for
from tests.transitions import append, claim, queue, submit

FLEX = Standing(Tier.FLEX)
SLOTS, RATE = 2, 10
MOST = 10
"""Times that a job is handed back for better ones."""
WORDS = " ".join(f"word-{number}" for number in range(60))


def begin(tickets: Tickets, job_id: str, standing: Standing = FLEX) -> None:
    """A job runs, in an execution that is called like it."""
    submit(tickets, job_id, standing=standing)
    claimed = claim(tickets, "", f"by-{job_id}")
    assert claimed
    assert claimed.job_id == job_id


def say(tickets: Tickets, job_id: str, number: int) -> Answer:
    """The answer to an append."""
    return Answer(append(tickets, job_id, f"by-{job_id}", number, Delta("a", (1,)))[0])


class TestAsking:
    def test_the_youngest_is_asked_and_no_more_than_better_jobs_wait(self, tickets: Tickets) -> None:
        for job_id in ("old", "middle", "young"):
            begin(tickets, job_id)
            time.sleep(0.002)  # begun later, on a clock of milliseconds
        submit(tickets, "chat")
        assert [say(tickets, job_id, 1) for job_id in ("old", "middle")] == [Answer.OK] * 2
        assert say(tickets, "young", 1) is Answer.PREEMPTED
        assert tickets.renew("m", 1000, [("young", "by-young")]) == [Answer.PREEMPTED]
        submit(tickets, "urgent", standing=Standing(Tier.PRIORITY))
        assert say(tickets, "middle", 2) is Answer.PREEMPTED
        assert say(tickets, "old", 2) is Answer.OK

    def test_what_was_handed_back_waits_behind_the_better_one_and_goes_on(self, tickets: Tickets) -> None:
        begin(tickets, "flex")
        submit(tickets, "chat")
        assert say(tickets, "flex", 1) is Answer.PREEMPTED
        assert tickets.release("m", [("flex", "by-flex")]) == 1
        assert queue(tickets) == ["chat", "flex"]
        assert say(tickets, "flex", 2) is Answer.FENCED
        first, second = claim(tickets, "", "x"), claim(tickets, "", "y")
        assert first
        assert second
        assert (first.job_id, second.job_id, second.seq, second.tries) == ("chat", "flex", 1, 1)

    def test_nobody_is_asked_while_a_slot_is_free(self, tickets: Tickets) -> None:
        tickets.client.hset("iq:slots:m", "w", 2)
        begin(tickets, "flex")
        submit(tickets, "chat")
        assert say(tickets, "flex", 1) is Answer.OK
        submit(tickets, "second")
        assert say(tickets, "flex", 2) is Answer.PREEMPTED

    @pytest.mark.parametrize("tier", [Tier.DEFAULT, Tier.PRIORITY])
    def test_others_are_not_asked(self, tickets: Tickets, tier: Tier) -> None:
        begin(tickets, "runs", Standing(tier))
        submit(tickets, "urgent", standing=Standing(Tier.PRIORITY))
        submit(tickets, "flex", standing=FLEX)
        assert say(tickets, "runs", 1) is Answer.OK

    def test_one_that_cannot_go_on_declines_and_another_is_asked(self, tickets: Tickets) -> None:
        begin(tickets, "old")
        time.sleep(0.002)
        begin(tickets, "young")
        submit(tickets, "chat")
        tickets.decline("m", "young", "by-another")
        assert say(tickets, "young", 1) is Answer.PREEMPTED
        tickets.decline("m", "young", "by-young")
        assert say(tickets, "young", 2) is Answer.OK
        assert say(tickets, "old", 1) is Answer.PREEMPTED
        submit(tickets, "second")  # and the one that has declined is not asked again
        assert say(tickets, "young", 3) is Answer.OK

    def test_a_job_is_handed_back_so_often_and_then_stays(self, tickets: Tickets) -> None:
        submit(tickets, "flex", standing=FLEX)
        for number in range(1, MOST + 2):
            execution = uuid4().hex
            claimed = claim(tickets, "", execution)
            assert claimed
            assert (claimed.job_id, claimed.tries) == ("flex", 1)
            submit(tickets, f"chat-{number}")
            answer, _ = append(tickets, "flex", execution, number, Delta("a", (1,)))
            if number > MOST:
                assert answer == Answer.OK
                return
            assert answer == Answer.PREEMPTED
            tickets.release("m", [("flex", execution)])
            better = claim(tickets, "", uuid4().hex)
            assert better
            assert better.job_id == f"chat-{number}"
            tickets.cancel(better.job_id)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path, slots=SLOTS, echo_rate=RATE) as stack:
        stack.start_gateway()
        yield stack


def post_flex(stack: Stack, tickets: Tickets) -> str:
    """A long flex job that runs, and has said something."""
    job_id = f"chatcmpl-{uuid4().hex}"
    task = Chat("echo", (Message("user", WORDS),), Sampling(seed=1))
    options: dict[str, Any] = {"reply": "", "max_queue": 10, "wait": 600, "keep": 600, "standing": FLEX}
    tickets.submit(job_id, Accepted(task, int(time.time())), **options)
    wait_for(lambda: stack.events(job_id) > 2, "its first words")
    return job_id


def record(stack: Stack, job_id: str) -> tuple[list[Event], list[str]]:
    """Its events, and the executions that wrote them, in their order."""
    entries = list(streams.entries(stack.redis, job_id))
    events = [event for entry in entries for event in entry.events if event]
    return events, list(dict.fromkeys(entry.by for entry in entries))


def follow(stack: Stack, job_id: str) -> str:
    """The text of a job as its events come, to the end."""
    with stack.http().stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        return spoken(data(line for line in answer.iter_lines() if not line.startswith(("id:", "event:"))))


def test_a_chat_starts_while_flex_jobs_hold_all_slots(slow: Stack, pool: ThreadPoolExecutor) -> None:
    slow.start_worker()
    tickets = Tickets(slow.redis)
    old, young = post_flex(slow, tickets), post_flex(slow, tickets)
    followed = [pool.submit(follow, slow, job_id) for job_id in (old, young)]
    wait_for(lambda: slow.redis.hget(f"iq:job:{young}", "reply"), "the reader of the younger")
    with slow.http().stream("POST", CHATS, json={**chat("one two three"), "stream": True}) as answer:
        lines = answer.iter_lines()
        first = next(chunk for chunk in data(lines) if chunk["choices"][0]["delta"].get("content"))
        assert first["choices"][0]["delta"]["content"] == "one"
        assert {slow.state(old), slow.state(young)} == {"in_progress", "queued"}
        assert slow.redis.hget(f"iq:job:{young}", "preempted") == b"1"
        assert spoken(data(lines)) == " two three"
    assert [task.result(60) for task in followed] == [WORDS, WORDS]
    for job_id, executions in ((old, 1), (young, 2)):
        events, by = record(slow, job_id)
        assert text(events) == WORDS
        assert len(by) == executions
        assert slow.redis.hget(f"iq:job:{job_id}", "tries") == b"1"


def test_fifty_flex_jobs_are_in_nobodys_way(slow: Stack) -> None:
    slow.start_worker(slots=4)
    http = slow.http()
    flex = [post_later(http, f"{number} {WORDS}", service_tier="flex") for number in range(50)]
    wait_for(lambda: sum(slow.events(job_id) > 2 for job_id in flex) == 4, "the first words of the first four")
    answer = http.post(CHATS, json=chat("one two three")).json()
    assert (answer["choices"][0]["message"]["content"], answer["service_tier"]) == ("one two three", "default")
    states = [slow.state(job_id) for job_id in flex]
    assert "completed" not in states, "it waited for one of them to end"
    assert sum(int(slow.redis.hget(f"iq:job:{job_id}", "preempted") or 0) for job_id in flex) == 1


def test_one_that_an_engine_cannot_continue_is_not_interrupted(slow: Stack) -> None:
    slow.start_worker(slots=1, echo_continue=0)
    flex = post_flex(slow, Tickets(slow.redis))
    chat_id = post_later(slow.http(), "one")
    wait_for(lambda: slow.redis.zscore("iq:flex:echo", flex) is None, "the question and its answer")
    wait_for(lambda: slow.events(flex) > 50, "most of its words")
    assert (slow.state(flex), slow.state(chat_id)) == ("in_progress", "queued")
    wait_for(lambda: slow.state(chat_id) == "completed", "the chat's end")
    assert not slow.redis.hexists(f"iq:job:{flex}", "preempted")
    events, by = record(slow, flex)
    assert text(events) == WORDS
    assert len(by) == 1


def test_jobs_that_a_stopped_worker_gives_back_are_not_counted(slow: Stack) -> None:
    """Only what was handed back for a better one counts to its bound."""
    worker = slow.start_worker(grace=0)
    flex = post_flex(slow, Tickets(slow.redis))
    stop(worker)
    assert slow.state(flex) == "queued"
    assert not slow.redis.hexists(f"iq:job:{flex}", "preempted")
