"""Version 0.1.0 and this one on one Redis, transition by transition. `make upgrade` runs the whole of both."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from shared import streams
from shared.audit import audit
from shared.codec import encode
from shared.errors import KeyFull, QueueFull
from shared.protocol import Delta, Failed, Kept, Options
from shared.registry import Kind
from shared.ticket import Answer, Attempt, Sighting, Standing, Tier
from shared.tickets import Tickets
from shared.unarchived import Unarchived
from tests.earlier import Earlier
from tests.record import read
from tests.transitions import (
    ACCEPTED,
    END,
    append,
    claim,
    dequeue,
    forget,
    lapse,
    lose,
    permits,
    places,
    queue,
    submit,
    sweep,
)

FLEX = Standing(Tier.FLEX)


@pytest.fixture
def old(tickets: Tickets) -> Earlier:
    """It lives, and this version knows it."""
    old = Earlier(tickets.client)
    old.live()
    lapse(tickets)
    return old


def leave_alone(tickets: Tickets, old: Earlier) -> None:
    """The earlier version is gone, for so long that everything is tidied up."""
    old.die()
    tickets.client.delete("iq:older", "iq:former")
    while tickets.client.hexists("iq:lapse", "tidy") or tickets.client.hexists("iq:lapse", "former"):
        lapse(tickets)
    sweep(tickets)


def run(tickets: Tickets, execution: str = "x") -> str:
    """Claim the next job, and end it; its id."""
    got = claim(tickets, dequeue(tickets), execution)
    assert got is not None
    assert append(tickets, got.job_id, execution, got.seq + 1, END)[0] == Answer.OK
    return got.job_id


def assert_clean(tickets: Tickets) -> None:
    assert audit(tickets.client, pause=0).findings == []


def test_each_runs_what_the_other_has_accepted(tickets: Tickets, old: Earlier) -> None:
    submit(tickets, "a")
    submit(old, "b")
    assert run(old) == "a"
    assert run(tickets) == "b"
    for job_id in ("a", "b"):
        assert read(tickets.client, job_id).accepted == ACCEPTED
    leave_alone(tickets, old)
    assert_clean(tickets)


def test_a_place_of_a_job_that_the_other_runs_is_given_up(tickets: Tickets, old: Earlier) -> None:
    submit(tickets, "a")
    submit(tickets, "b")
    assert claim(old, dequeue(old), "x")
    assert places(tickets) == ["a", "b"]
    assert tickets.position("a") is None
    sweep(tickets)
    assert places(tickets) == ["b"]
    assert tickets.position("b") == 1
    assert_clean(tickets)


def test_the_list_names_the_jobs_that_wait_whoever_claims(tickets: Tickets, old: Earlier) -> None:
    tickets.submit("late", ACCEPTED, reply="", max_queue=10, wait=60, keep=60, standing=FLEX)
    submit(tickets, "soon")
    got = claim(tickets, dequeue(tickets), "x")
    assert got is not None
    assert (got.job_id, permits(tickets)) == ("soon", ["late"])
    assert run(old, "y") == "late"


def test_what_is_cancelled_or_overdue_is_named_no_longer(tickets: Tickets, old: Earlier) -> None:
    submit(tickets, "a")
    submit(tickets, "b", wait=0)
    submit(tickets, "c")
    tickets.cancel("a")
    assert permits(tickets) == ["b", "c"]
    sweep(tickets)
    assert permits(tickets) == ["c"]
    with pytest.raises(QueueFull):
        submit(old, "d", most=1)
    assert submit(old, "d", most=2) == "d"


def test_a_list_that_names_others_is_put_right(tickets: Tickets, old: Earlier) -> None:
    for job_id in "abc":
        submit(tickets, job_id)
    tickets.client.delete("rq:queue:m")
    tickets.client.rpush("rq:queue:m", "c", "ended", "c", "a")
    sweep(tickets)
    assert permits(tickets) == ["c", "a", "b"]
    assert dequeue(tickets) == "c"
    sweep(tickets)
    assert permits(tickets) == ["a", "b"], "what lies between the list and a claim is not named twice"


def test_streams_are_begun_when_an_earlier_version_comes(tickets: Tickets) -> None:
    for job_id in ("waits", "follows", "runs"):
        submit(tickets, job_id)
    old = Earlier(tickets.client)
    assert dequeue(old) == "waits"
    with pytest.raises(Exception, match="nil"):
        claim(old, "waits", "x")  # before anybody has seen it: its worker asks again and again
    assert claim(tickets, dequeue(tickets), "y")
    old.live()
    lapse(tickets)
    sweep(tickets)
    assert all(tickets.client.exists(f"iq:events:{job_id}") for job_id in ("waits", "follows", "runs"))
    got = claim(old, "waits", "x")
    assert got is not None
    assert append(old, "waits", "x", 1, END)[0] == Answer.OK
    assert run(old, "z") == "runs"
    leave_alone(tickets, old)
    assert_clean(tickets)


@pytest.mark.parametrize("how", ["sweep", "release", "restart"])
def test_what_the_other_puts_back_waits_at_its_old_place(tickets: Tickets, old: Earlier, how: str) -> None:
    for job_id in "ab":
        tickets.submit(job_id, ACCEPTED, reply="", max_queue=10, wait=60, keep=60, standing=FLEX)
    assert claim(tickets, dequeue(tickets), "x")
    submit(tickets, "better")
    sweep(tickets)
    tickets.client.hset("iq:job:better", "created", 1)
    sweep(tickets)
    assert tickets.client.hexists("iq:job:a", "preempt")
    match how:
        case "sweep":
            lose(tickets, "a")
            assert sweep(old) == 1
        case "release":
            assert old.release("m", [("a", "x")]) == 1
        case "restart":
            assert old.restart("m", "a", "x")
    assert append(tickets, "a", "x", 1, Delta("late"))[0] == Answer.FENCED
    assert "a" not in places(tickets)
    sweep(tickets)
    assert queue(tickets) == ["better", "a", "b"]
    assert tickets.client.zcard("iq:flex:m") == tickets.client.zcard("iq:preempted:m") == 0
    assert run(tickets, "y") == "better"
    assert claim(tickets, dequeue(tickets), "z")
    assert tickets.renew("m", 1000, [("a", "z")]) == [Answer.OK], "it is not asked back for what is long done"
    assert_clean(tickets)


def test_what_the_other_puts_back_can_be_claimed_at_once(tickets: Tickets, old: Earlier) -> None:
    submit(tickets, "a")
    assert claim(tickets, dequeue(tickets), "x")
    lose(tickets, "a")
    assert sweep(old) == 1
    assert run(tickets, "y") == "a"


def test_what_this_one_puts_back_the_other_can_claim_at_once(tickets: Tickets) -> None:
    old = Earlier(tickets.client)
    submit(tickets, "a")
    assert claim(tickets, dequeue(tickets), "x")
    old.live()
    lapse(tickets)
    assert not tickets.client.exists("iq:events:a"), "it was accepted before"
    tickets.release("m", [("a", "x")])
    assert run(old, "y") == "a"


@pytest.mark.parametrize("new_ends_it", [True, False])
def test_a_job_outlives_workers_of_both(tickets: Tickets, old: Earlier, new_ends_it: bool) -> None:
    submit(tickets, "a")
    for number, (claims, sweeps) in enumerate([(old, tickets), (tickets, old), (old, old), (tickets, tickets)]):
        assert claim(claims, dequeue(claims), f"x{number}")
        assert append(claims, "a", f"x{number}", number + 1, Delta("w"))[0] == Answer.OK
        lose(tickets, "a")
        assert sweep(sweeps) == 1
    assert run(tickets if new_ends_it else old, "y") == "a"
    assert len(read(tickets.client, "a").events) == 5
    leave_alone(tickets, old)
    assert_clean(tickets)


def test_what_the_other_ends_before_its_stream_is_begun_can_be_read(tickets: Tickets) -> None:
    old = Earlier(tickets.client)
    submit(tickets, "a")
    old.cancel("a")
    [end] = list(streams.entries(tickets.client, "a"))
    assert isinstance(end.events[0], Failed)
    old.live()
    lapse(tickets)
    leave_alone(tickets, old)
    record = read(tickets.client, "a")
    assert (record.accepted, record.events) == (ACCEPTED.head(), end.events)
    assert 0 < tickets.client.ttl("iq:events:a") <= 60
    assert places(tickets) == []
    assert_clean(tickets)


def test_what_the_other_is_given_again_is_begun_once(tickets: Tickets, old: Earlier) -> None:
    tickets.client.delete("iq:older")
    waits = Attempt("print")
    submit(tickets, "a", attempt=waits)
    tickets.leave("a", "a", "", waits, 0)
    tickets.client.set("iq:task:a", encode([ACCEPTED]))  # as it was when the server had forgotten the end
    tickets.client.delete("iq:events:a")
    old.submit("a", ACCEPTED, reply="", max_queue=10, wait=60, keep=60, attempt=waits, again=True)
    lapse(tickets)
    sweep(tickets)
    assert not tickets.client.exists("iq:task:a")
    assert run(tickets) == "a"


def test_jobs_that_the_other_ends_are_not_held_against_their_owner(tickets: Tickets, old: Earlier) -> None:
    two = Standing(most=2)
    for job_id in "ab":
        tickets.submit(job_id, ACCEPTED, reply="", max_queue=10, wait=60, keep=60, standing=two)
    with pytest.raises(KeyFull):
        tickets.submit("c", ACCEPTED, reply="", max_queue=10, wait=60, keep=60, standing=two)
    assert run(old) == "a"
    tickets.submit("c", ACCEPTED, reply="", max_queue=10, wait=60, keep=60, standing=two)
    submit(old, "d")
    sweep(tickets)
    assert tickets.client.smembers("iq:owned:o") == {b"b", b"c", b"d"}
    for number in range(3):
        run(old, f"x{number}")
    leave_alone(tickets, old)
    assert tickets.client.smembers("iq:owned:o") == set()
    assert_clean(tickets)


def test_jobs_that_the_other_accepts_and_runs_count_for_their_owner(tickets: Tickets, old: Earlier) -> None:
    submit(old, "a")
    assert claim(old, dequeue(old), "x")
    sweep(tickets)
    assert tickets.client.smembers("iq:owned:o") == {b"a"}


def test_a_gateway_of_the_other_follows_a_job(tickets: Tickets, old: Earlier) -> None:
    tickets.client.xgroup_create("iq:reply:old", "reader", mkstream=True)
    submit(tickets, "a")
    assert old.attach("iq:reply:old", [Sighting("a", 0, "", "v")]) == {}
    run(tickets)
    assert tickets.client.xlen("iq:reply:old") == 1
    assert tickets.client.exists("iq:reply:old:jobs") == 0


def test_sweeps_and_lapses_of_the_other_keep_ours_from_nothing(tickets: Tickets, old: Earlier) -> None:
    submit(old, "a")
    old.lapse()
    tickets.client.delete("iq:older")
    for key in ("iq:sweep:m", "iq:lapse"):
        tickets.client.hset(key, "last", 0)
    old.sweep("m", 1000)
    old.lapse()
    tickets.lapse()
    assert tickets.client.exists("iq:older")
    tickets.sweep("m", 1000)
    assert places(tickets) == ["a"]


def test_a_model_that_the_other_forgets_leaves_nothing(tickets: Tickets, old: Earlier) -> None:
    submit(tickets, "a")
    run(tickets)
    assert tickets.client.exists("iq:schedule:m", "iq:counts:m") == 2
    lapse(old)
    assert tickets.client.smembers("rq:queues") == set()
    leave_alone(tickets, old)
    forget(tickets)
    left = {key.decode() for key in tickets.client.scan_iter() if tickets.client.ttl(key) == -1}
    assert left == {"iq:lapse"}


def test_slots_of_workers_that_the_other_has_forgotten_do_not_count(tickets: Tickets, old: Earlier) -> None:
    tickets.client.hset("iq:slots:m", "gone", 4)
    assert tickets.client.zscore(f"iq:live:{Kind.WORKERS}", "gone") is None
    leave_alone(tickets, old)
    assert not tickets.client.exists("iq:slots:m")


def test_the_end_of_what_is_to_be_stored_by_the_other_is_made_good(tickets: Tickets, old: Earlier) -> None:
    accepted = replace(ACCEPTED, options=Options(kept=Kept(("once",))))
    tickets.submit("a", accepted, reply="", max_queue=10, wait=60, keep=60)
    assert run(old) == "a"
    assert 0 < tickets.client.ttl("iq:job:a") <= 60
    waiting = Unarchived(tickets.client)
    assert waiting.due(9, 30) == ([], [], 0)
    assert tickets.client.ttl("iq:job:a") == tickets.client.ttl("iq:events:a") == -1
    assert waiting.given("a") == ("once",)
    tickets.client.zadd("iq:unarchived", {"a": 1}, xx=True)
    assert waiting.due(9, 30).ended == ["a"]
    waiting.release("a")
    leave_alone(tickets, old)
    assert_clean(tickets)
