"""Jobs that come back: handed back, started over, put back by their gateway; comparisons, and jumps of the clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from shared.codec import encode
from shared.errors import InferqError
from shared.protocol import Delta, Failed, StartOver, State
from shared.ticket import Answer, Attempt, Sighting
from shared.tickets import MOST_RETURNS, Tickets
from tests.record import read
from tests.transitions import ACCEPTED, END, LEASE, append, claim, dequeue, queue, start, submit, sweep

DAY_MS = 86_400_000
WAITS = Attempt("print")


def time_ms(tickets: Tickets) -> int:
    seconds, microseconds = tickets.client.time()
    return seconds * 1000 + microseconds // 1000


def scores(tickets: Tickets, index: str) -> dict[str, float]:
    found: Any = tickets.client.zrange(f"iq:{index}:m", 0, -1, withscores=True)
    return {member.decode(): score for member, score in found}


def test_a_job_is_started_over_as_if_nothing_had_been_sent(tickets: Tickets) -> None:
    start(tickets, "a", "x")
    append(tickets, "a", "x", 1, Delta("one", (5,)), Delta("two", (6,)))
    assert tickets.restart("m", "a", "x")
    assert tickets.restart("m", "a", "x")  # resent
    assert queue(tickets) == ["a"]
    record = read(tickets.client, "a")
    assert (record.accepted, record.events) == (ACCEPTED, [StartOver()])
    ticket = tickets.get("a")
    assert (ticket.state, ticket.events, ticket.by, ticket.tokens) == (State.QUEUED, 3, "0", 0)
    assert append(tickets, "a", "x", 3, Delta("late"))[0] == Answer.FENCED
    dequeue(tickets)
    again = claim(tickets, "a", "y")
    assert again is not None
    assert (again.seq, again.tries) == (3, 2)
    assert append(tickets, "a", "y", 4, Delta("one"), END) == (Answer.OK, 5)


def test_what_somebody_reads_is_not_started_over(tickets: Tickets) -> None:
    submit(tickets, "a", attempt=replace(WAITS, parts=True))
    dequeue(tickets)
    claim(tickets, "a", "x")
    append(tickets, "a", "x", 1, Delta("one"))
    assert not tickets.restart("m", "a", "x")
    assert read(tickets.client, "a").events == [Delta("one")]
    assert append(tickets, "a", "x", 2, END) == (Answer.OK, 2)


def test_a_cancelled_job_is_ended_instead_of_started_over(tickets: Tickets) -> None:
    start(tickets, "a", "x")
    tickets.cancel("a")
    assert tickets.restart("m", "a", "x")
    assert tickets.get("a").state is State.CANCELLED
    assert queue(tickets) == []


def test_a_job_that_nobody_can_compute_fails_after_so_many_returns(tickets: Tickets) -> None:
    submit(tickets, "a")
    for number in range(MOST_RETURNS + 1):
        assert tickets.get("a").state is State.QUEUED
        dequeue(tickets)
        got = claim(tickets, "a", f"x{number}")
        assert got is not None
        assert got.tries == 1
        for _ in range(2):  # resent
            tickets.hand_back("m", "a", f"x{number}", InferqError("The engine is gone."))
    assert tickets.get("a").state is State.FAILED
    assert read(tickets.client, "a").events == [Failed(InferqError.code, "The engine is gone.")]


def test_a_job_that_has_run_waits_a_day_at_least(tickets: Tickets) -> None:
    submit(tickets, "a", wait=1)
    submit(tickets, "b", wait=3 * DAY_MS / 1000)
    for job_id in ("a", "b"):
        dequeue(tickets)
        claim(tickets, job_id, job_id)
    before = time_ms(tickets)
    tickets.release("m", [("a", "a"), ("b", "b")])
    # the clock has jumped back since the last sweep: nothing is believed for longer, and nothing for less either
    tickets.client.hset("iq:sweep:m", "last", before + 5000)
    tickets.sweep("m", LEASE)
    deadlines = scores(tickets, "deadlines")
    assert DAY_MS <= deadlines["a"] - before < DAY_MS + 60_000
    assert 3 * DAY_MS <= deadlines["b"] - before < 3 * DAY_MS + 60_000


def test_jobs_of_one_millisecond_return_in_one_order(tickets: Tickets) -> None:
    for job_id in ("a", "b", "c"):
        start(tickets, job_id, job_id)
        tickets.client.hset(f"iq:job:{job_id}", "created", 1)
    tickets.release("m", [("b", "b"), ("a", "a"), ("c", "c")])
    assert queue(tickets) == ["a", "b", "c"]


def test_a_jump_of_the_clock_delays_no_recovery_by_more_than_a_lease(tickets: Tickets) -> None:
    start(tickets, "a", "x", lease_ms=3_600_000)  # as if the clock had jumped back by an hour since
    submit(tickets, "b", wait=60)
    tickets.client.zadd("iq:deadlines:m", {"b": time_ms(tickets) + 3_600_000})
    tickets.client.hset("iq:job:b", "deadline", time_ms(tickets) + 3_600_000)
    tickets.client.zadd("iq:lingering:m", {"b": time_ms(tickets) + 3_600_000})
    tickets.client.hset("iq:sweep:m", mapping={"last": time_ms(tickets) + 3_600_000, "hold": 0})
    assert tickets.sweep("m", LEASE) == 0
    now = time_ms(tickets)
    assert scores(tickets, "leases")["a"] <= now + LEASE
    assert scores(tickets, "deadlines")["b"] <= now + 60_000
    assert scores(tickets, "lingering")["b"] <= now + 60_000
    hold: Any = tickets.client.hget("iq:sweep:m", "hold")
    assert now < int(hold) <= now + LEASE
    tickets.client.zadd("iq:leases:m", {"a": now - 1})
    assert sweep(tickets) == 1


def test_the_record_of_sweeps_ends_by_itself(tickets: Tickets) -> None:
    tickets.sweep("never asked for", LEASE)
    assert 0 < tickets.client.ttl("iq:sweep:never asked for") <= 60


def test_a_lost_job_is_put_back_whatever_its_client_and_the_queue_say(tickets: Tickets) -> None:
    keyed = replace(WAITS, idempotency="key")
    submit(tickets, "a", attempt=keyed)
    submit(tickets, "b", attempt=replace(keyed, number=1))  # joins a
    for _ in range(2):  # resent
        options: dict[str, Any] = {"reply": "iq:reply:g", "max_queue": 1, "wait": 60, "keep": 60}
        assert tickets.submit("c", ACCEPTED, attempt=keyed, visitor="v", again=True, **options) == "c"
    assert queue(tickets) == ["a", "c"]
    assert tickets.client.hget("iq:job:c", "waiting") == b"v@iq:reply:g"
    assert tickets.client.hget("iq:idempotency:key", "job") == b"a"


def test_an_append_after_the_end_by_another_is_no_resend(tickets: Tickets) -> None:
    start(tickets, "a", "x", lease_ms=1)
    append(tickets, "a", "x", 1, Delta("one"))
    tickets.cancel("a")
    tickets.client.zadd("iq:leases:m", {"a": 1})
    sweep(tickets)  # ends it with its event number 2
    assert append(tickets, "a", "x", 2, END) == (Answer.FENCED, 2)
    assert tickets.get("a").state is State.CANCELLED
    assert read(tickets.client, "a").events == [Delta("one"), Failed("cancelled", "The job was cancelled.")]


def test_a_comparison_tells_what_differs_and_makes_clients_known_again(tickets: Tickets) -> None:
    reply = "iq:reply:g"
    for job_id in ("a", "b", "c"):
        start(tickets, job_id, f"x{job_id}")
        append(tickets, job_id, f"x{job_id}", 1, Delta("one"))
    append(tickets, "c", "xc", 2, END)
    seen = [
        Sighting("a", 1, "xa", "va", parts=True),
        Sighting("b", 1, "another", "vb"),
        Sighting("nobody", 0, ""),
        Sighting("c", 1, "xc", "vc"),
        Sighting("a", 0, "", ""),
    ]
    for _ in range(2):  # resent
        assert tickets.attach(reply, seen) == {1: True, 2: False, 3: True, 4: True}
    fields = [tickets.client.hmget(f"iq:job:{job_id}", "reply", "waiting", "parts") for job_id in ("a", "b", "c")]
    assert fields == [
        [b"iq:reply:g", b"va@iq:reply:g", b"1"],
        [b"iq:reply:g", b"vb@iq:reply:g", None],
        [b"", b"", None],
    ]
    assert tickets.client.smembers(f"{reply}:jobs") == {b"a", b"b"}
    tickets.client.xgroup_create(reply, "reader", mkstream=True)
    append(tickets, "b", "xb", 2, Delta("two"))
    [(_, entry)] = cast(Any, tickets.client.xrange(reply))
    assert (entry[b"j"], entry[b"e"]) == (b"b", encode([Delta("two")]))


def test_a_promised_job_outlives_every_client(tickets: Tickets) -> None:
    keyed = replace(WAITS, idempotency="key")
    for first, second in (("a", "b"), ("c", "d")):  # promised at first, and by joining
        attempts = (replace(keyed, waits=first != "a"), replace(keyed, waits=first == "a"))
        submit(tickets, first, attempt=attempts[0])
        assert submit(tickets, second, attempt=attempts[1]) == first
        for visitor in (first, second):
            tickets.leave(first, visitor, "", keyed, linger=0)
        assert tickets.get(first).state is State.QUEUED
        tickets.cancel(first)
