"""The scripts keep their contracts on a real server: each transition once, repeatable, fenced."""

from __future__ import annotations

from typing import Any

import pytest
from redis import OutOfMemoryError

from shared import streams
from shared.codec import encode
from shared.errors import JobNotFound, QueueFull
from shared.protocol import Delta, Failed, Progress, State
from shared.ticket import Answer, Attempt
from shared.tickets import MOST_EXECUTIONS, Tickets
from tests.record import read
from tests.stack import wait_for
from tests.transitions import ACCEPTED, END, LEASE, append, claim, dequeue, permits, queue, start, submit, sweep


def test_a_job_from_submit_to_its_end(tickets: Tickets) -> None:
    assert submit(tickets, "a") == "a"
    assert submit(tickets, "b") == "b"
    assert tickets.position("b") == 2
    assert tickets.get("a").state is State.QUEUED
    assert dequeue(tickets) == "a"
    got = claim(tickets, "a", "x")
    assert got is not None
    assert (got.seq, got.tries, got.accepted) == (0, 1, encode([ACCEPTED]))
    assert append(tickets, "a", "x", 1, Progress(0, 4), Delta("hi", (5,))) == (Answer.OK, 2)
    assert append(tickets, "a", "x", 3, Delta(finish_reason="stop"), END) == (Answer.OK, 4)
    assert tickets.get("a").state is State.COMPLETED
    record = read(tickets.client, "a")
    assert record.accepted == ACCEPTED.head()
    assert record.events == [Progress(0, 4), Delta("hi", (5,)), Delta(finish_reason="stop"), END]


def test_final_jobs_have_a_time_to_live_and_others_have_none(tickets: Tickets) -> None:
    start(tickets, "a", "x")
    assert tickets.client.ttl("iq:job:a") == tickets.client.ttl("iq:task:a") == -1
    append(tickets, "a", "x", 1, END)
    assert 0 < tickets.client.ttl("iq:job:a") <= 60
    assert 0 < tickets.client.ttl("iq:events:a") <= 60
    left = {key for key in tickets.client.scan_iter() if tickets.client.ttl(key) == -1}
    assert left == {b"iq:counts:m", b"iq:schedule:m", b"iq:tags:m:2", b"rq:queues"}
    assert not tickets.client.exists("iq:task:a", "iq:bytes")


def test_a_resent_submit_is_one_job(tickets: Tickets) -> None:
    submit(tickets, "a")
    submit(tickets, "a")
    assert queue(tickets) == ["a"]
    assert len(read(tickets.client, "a").events) == 0


def test_a_full_queue_refuses_and_leaves_nothing(tickets: Tickets) -> None:
    submit(tickets, "a", most=1)
    with pytest.raises(QueueFull, match="1 requests wait"):
        submit(tickets, "b", most=1)
    with pytest.raises(JobNotFound):
        tickets.get("b")
    assert queue(tickets) == ["a"]


def test_a_resent_claim_is_answered_alike_and_a_second_claim_is_refused(tickets: Tickets) -> None:
    submit(tickets, "a")
    dequeue(tickets)
    assert claim(tickets, "a", "x") == claim(tickets, "a", "x") is not None
    assert claim(tickets, "a", "y") is None


def test_a_doubled_entry_is_dropped(tickets: Tickets) -> None:
    start(tickets, "a", "x")
    tickets.client.rpush("rq:queue:m", "a")
    dequeue(tickets)
    assert claim(tickets, "a", "y") is None
    assert append(tickets, "a", "x", 1, Delta("still mine")) == (Answer.OK, 1)


def test_an_entry_without_a_ticket_is_dropped(tickets: Tickets) -> None:
    tickets.client.rpush("rq:queue:m", "stranger")
    dequeue(tickets)
    assert claim(tickets, "stranger", "x") is None
    assert tickets.client.llen("rq:queue:m:intermediate") == 0


def test_a_resent_append_is_stored_once(tickets: Tickets) -> None:
    start(tickets, "a", "x")
    assert append(tickets, "a", "x", 1, Delta("hi")) == append(tickets, "a", "x", 1, Delta("hi")) == (Answer.OK, 1)
    assert read(tickets.client, "a").events == [Delta("hi")]


def test_a_resent_end_is_stored_once(tickets: Tickets) -> None:
    start(tickets, "a", "x")
    for _ in range(2):
        assert append(tickets, "a", "x", 1, END) == (Answer.OK, 1)
    assert read(tickets.client, "a").events == [END]


def test_an_append_after_a_gap_asks_for_what_is_missing(tickets: Tickets) -> None:
    start(tickets, "a", "x")
    append(tickets, "a", "x", 1, Delta("one"))
    assert append(tickets, "a", "x", 3, Delta("three")) == (Answer.RESEND, 1)
    assert append(tickets, "a", "x", 1, Delta("one"), Delta("two")) == (Answer.RESEND, 1)
    assert append(tickets, "a", "x", 2, Delta("two"), Delta("three")) == (Answer.OK, 3)


def test_a_lost_worker_gives_its_jobs_back_in_order_and_is_fenced(tickets: Tickets) -> None:
    start(tickets, "a", "x", lease_ms=1)
    tickets.client.hset("iq:job:a", "created", 1)
    start(tickets, "b", "y", lease_ms=1)
    submit(tickets, "c")
    wait_for(lambda: sweep(tickets) == 2, "the sweep of both")
    assert queue(tickets) == ["a", "b", "c"]
    assert append(tickets, "a", "x", 1, Delta("late"))[0] == Answer.FENCED
    assert tickets.renew("m", LEASE, [("a", "x")]) == [Answer.FENCED]
    dequeue(tickets)
    again = claim(tickets, "a", "z")
    assert again is not None
    assert again.tries == 2
    assert append(tickets, "a", "x", 1, END)[0] == Answer.FENCED
    assert append(tickets, "a", "z", 1, Delta("mine")) == (Answer.OK, 1)


def test_a_renewed_lease_is_left_alone(tickets: Tickets) -> None:
    start(tickets, "a", "x", lease_ms=1)
    assert tickets.renew("m", LEASE, [("a", "x")]) == [Answer.OK]
    assert sweep(tickets) == 0
    assert tickets.get("a").state is State.IN_PROGRESS


def test_after_an_outage_nothing_is_recovered_for_one_lease(tickets: Tickets) -> None:
    start(tickets, "a", "x", lease_ms=1)
    assert tickets.sweep("m", 1000) == 0  # the first sweep ever
    assert tickets.get("a").state is State.IN_PROGRESS
    wait_for(lambda: tickets.sweep("m", 1000) == 1, "the recovery after the lease")


def test_a_job_whose_workers_keep_dying_is_given_up(tickets: Tickets) -> None:
    submit(tickets, "a")
    for execution in map(str, range(MOST_EXECUTIONS)):
        dequeue(tickets)
        assert claim(tickets, "a", execution, lease_ms=1)
        wait_for(lambda: sweep(tickets) or tickets.get("a").state.final, "the sweep")
    assert tickets.get("a").state is State.FAILED
    [event] = read(tickets.client, "a").events
    assert isinstance(event, Failed)
    assert event.code == "worker_lost"


def test_a_permit_that_never_came_to_a_claim_is_made_up_for(tickets: Tickets) -> None:
    submit(tickets, "a")
    dequeue(tickets)
    assert permits(tickets) == []
    sweep(tickets)
    assert permits(tickets) == ["a"]
    assert tickets.client.llen("rq:queue:m:intermediate") == 1
    tickets.client.zadd("iq:limbo:m", {"a": 1})
    sweep(tickets)
    assert tickets.client.llen("rq:queue:m:intermediate") == 0
    assert (permits(tickets), queue(tickets)) == (["a"], ["a"])


def test_there_are_as_many_permits_as_jobs_wait(tickets: Tickets) -> None:
    for job_id in ("a", "b", "c"):
        submit(tickets, job_id)
    tickets.cancel("b")
    assert permits(tickets) == ["a", "b", "c"]
    sweep(tickets)
    assert len(permits(tickets)) == 2
    tickets.client.delete("rq:queue:m")
    sweep(tickets)
    assert permits(tickets) == ["a", "c"]


def test_a_job_past_its_deadline_fails_before_it_runs(tickets: Tickets) -> None:
    submit(tickets, "a", wait=0)
    sweep(tickets)
    assert tickets.get("a").state is State.FAILED
    assert queue(tickets) == []
    [event] = read(tickets.client, "a").events
    assert isinstance(event, Failed)
    assert event.code == "deadline_exceeded"


def test_released_jobs_return_to_the_head_in_order_and_do_not_count(tickets: Tickets) -> None:
    start(tickets, "a", "x")
    tickets.client.hset("iq:job:a", "created", 1)
    start(tickets, "b", "y")
    submit(tickets, "c")
    assert tickets.release("m", [("b", "y"), ("a", "x"), ("c", "z")]) == 2
    assert tickets.release("m", [("b", "y"), ("a", "x")]) == 0  # resent
    assert queue(tickets) == ["a", "b", "c"]
    dequeue(tickets)
    again = claim(tickets, "a", "w")
    assert again is not None
    assert again.tries == 1


def test_cancelling_a_queued_job_ends_it(tickets: Tickets) -> None:
    submit(tickets, "a")
    assert tickets.cancel("a") is State.CANCELLED
    assert queue(tickets) == []
    assert tickets.cancel("a") is State.CANCELLED


def test_cancelling_a_running_job_tells_its_worker(tickets: Tickets) -> None:
    start(tickets, "a", "x")
    channel: Any = tickets.client.pubsub()  # type: ignore[no-untyped-call]  # redis-py's is not annotated
    channel.subscribe("rq:pubsub:w")
    channel.get_message(timeout=5)
    assert tickets.cancel("a") is State.IN_PROGRESS
    message = channel.get_message(timeout=5)
    channel.close()
    assert message is not None
    assert b'"execution_id":"x"' in message["data"]
    assert append(tickets, "a", "x", 1, Delta("hi")) == (Answer.CANCELLED, 1)
    assert tickets.renew("m", LEASE, [("a", "x")]) == [Answer.CANCELLED]
    failed = Failed("cancelled", "The job was cancelled.")
    append(tickets, "a", "x", 2, failed)
    assert tickets.get("a").state is State.CANCELLED


def test_a_cancelled_job_whose_worker_is_lost_is_ended_and_not_run_again(tickets: Tickets) -> None:
    start(tickets, "a", "x", lease_ms=1)
    tickets.cancel("a")
    wait_for(lambda: sweep(tickets) == 0 and tickets.get("a").state is State.CANCELLED, "the end")
    assert queue(tickets) == []


def test_unknown_jobs(tickets: Tickets) -> None:
    with pytest.raises(JobNotFound):
        tickets.cancel("nobody")
    with pytest.raises(JobNotFound):
        streams.accepted(tickets.client, "nobody")


def test_events_go_to_the_reply_stream_only_while_its_gateway_lives(tickets: Tickets) -> None:
    tickets.client.xgroup_create("iq:reply:g", "reader", mkstream=True)
    submit(tickets, "a", reply="iq:reply:g")
    dequeue(tickets)
    claim(tickets, "a", "x")
    append(tickets, "a", "x", 1, Delta("one"))
    [(_, fields)] = tickets.client.xrange("iq:reply:g")  # type: ignore[misc]  # the sync client's answer
    assert fields == {b"j": b"a", b"f": b"1", b"l": b"1", b"x": b"x", b"e": encode([Delta("one")])}
    tickets.client.delete("iq:reply:g")
    append(tickets, "a", "x", 2, Delta("two"))
    assert not tickets.client.exists("iq:reply:g")
    assert read(tickets.client, "a").events == [Delta("one"), Delta("two")]


def test_out_of_memory_refuses_new_jobs_and_lets_running_ones_end(tickets: Tickets) -> None:
    start(tickets, "a", "x")
    tickets.client.config_set("maxmemory", "1")
    try:
        with pytest.raises(OutOfMemoryError):
            submit(tickets, "b")
        assert append(tickets, "a", "x", 1, Delta("hi"), END) == (Answer.OK, 2)
    finally:
        tickets.client.config_set("maxmemory", "0")
    assert tickets.get("a").state is State.COMPLETED


def test_a_withdrawn_job_is_left_alone_once_its_client_came_again_and_was_given_it(tickets: Tickets) -> None:
    polls = Attempt("print", idempotency="key", waits=False)
    for job_id in ("a", "b"):
        submit(tickets, job_id, attempt=polls)
        if job_id == "b":
            assert submit(tickets, "c", attempt=polls) == "b"
        tickets.cancel(job_id, unless_joined=True)
    assert [tickets.get(job_id).state for job_id in ("a", "b")] == [State.CANCELLED, State.QUEUED]


def test_an_idempotency_key_is_forgotten_with_its_job_and_not_with_an_earlier_one(tickets: Tickets) -> None:
    keyed = Attempt("print", idempotency="key")
    submit(tickets, "a", attempt=keyed)
    assert tickets.client.ttl("iq:idempotency:key") > 60
    tickets.cancel("a")
    assert tickets.client.ttl("iq:idempotency:key") <= 60
    submit(tickets, "b", attempt=keyed)
    submit(tickets, "c")
    tickets.cancel("c")
    assert tickets.client.ttl("iq:idempotency:key") > 60


@pytest.mark.parametrize("idempotency", ["", "key"])
def test_joining_and_leaving_again_because_a_reply_was_lost_changes_nothing(tickets: Tickets, idempotency: str) -> None:
    first, second = (Attempt("print", number, idempotency) for number in (0, 1))
    submit(tickets, "a", attempt=first)
    for _ in range(2):
        tickets.leave("a", "a", "", first, linger=60)
    for _ in range(2):
        assert submit(tickets, "b", attempt=second) == "a"
    tickets.leave("a", "a", "", first, linger=0)  # that of a gateway which could not reach Redis until now
    assert tickets.get("a").state is State.QUEUED
    tickets.leave("a", "b", "", second, linger=0)
    assert tickets.get("a").state is State.CANCELLED
    assert queue(tickets) == []


def test_a_job_that_ends_while_its_client_leaves_is_what_that_client_comes_again_for(tickets: Tickets) -> None:
    first, second = (Attempt("print", number) for number in (0, 1))
    submit(tickets, "a", attempt=first)
    dequeue(tickets)
    claim(tickets, "a", "x")
    append(tickets, "a", "x", 1, END)
    tickets.leave("a", "a", "", first, linger=60)
    assert submit(tickets, "b", attempt=second) == "a"
    assert submit(tickets, "c", attempt=second) == "c"


def test_a_job_that_was_left_goes_to_one_retry_only(tickets: Tickets) -> None:
    first, second = (Attempt("print", number) for number in (0, 1))
    submit(tickets, "a", attempt=first)
    tickets.leave("a", "a", "", first, linger=60)
    assert submit(tickets, "b", attempt=second) == "a"
    assert submit(tickets, "c", attempt=second) == "c"
