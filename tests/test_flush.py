"""What the executions of a worker send at one time: one append, and one entry a gateway."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from redis import ResponseError

from shared.addition import addition
from shared.codec import encode
from shared.protocol import Delta, Done, Event, State, Usage
from shared.ticket import Answer
from shared.tickets import Tickets
from tests.calls import CHATS, chat, post_later
from tests.record import read
from tests.stack import Stack, wait_for
from tests.transitions import END, append, claim, dequeue, start, submit

OURS, OLDER = "iq:reply:2:g", "iq:reply:g"


def told(tickets: Tickets, reply: str) -> list[dict[bytes, bytes]]:
    entries: Any = tickets.client.xrange(reply)
    return [fields for _, fields in entries]


def running(tickets: Tickets, job_id: str, reply: str) -> None:
    submit(tickets, job_id, reply=reply)
    assert dequeue(tickets) == job_id
    assert claim(tickets, job_id, f"x{job_id}")


def piece(job_id: str, first: int, *events: Event, state: State | None = None) -> Any:
    return addition(job_id, f"x{job_id}", first=first, events=events)


def test_each_execution_gets_its_own_answer(tickets: Tickets) -> None:
    for job_id in "abcd":
        start(tickets, job_id, f"x{job_id}")
    tickets.client.hset("iq:job:b", "exec", "another")
    tickets.cancel("c")
    answers = tickets.append(
        "m",
        [
            piece("a", 1, Delta("one", (1,)), END),
            piece("b", 1, Delta("one")),
            piece("c", 1, Delta("one"), Delta("two")),
            piece("d", 5, Delta("late")),
        ],
    )
    assert answers == [(Answer.OK, 2), (Answer.FENCED, 0), (Answer.CANCELLED, 2), (Answer.RESEND, 0)]
    assert [tickets.get(job_id).state for job_id in "ac"] == [State.COMPLETED, State.IN_PROGRESS]
    assert tickets.get("a").tokens == 1
    assert read(tickets.client, "a").events == [Delta("one", (1,)), END]


def test_what_is_wrong_with_one_job_harms_no_other(tickets: Tickets) -> None:
    for job_id in "abc":
        start(tickets, job_id, f"x{job_id}")
    tickets.client.set("iq:events:b", "no stream")
    for first in (1, 2):
        numbers = {"a": first, "b": 1, "c": first}
        before, wrong, after = tickets.append("m", [piece(job_id, n, Delta("one")) for job_id, n in numbers.items()])
        assert before == after == (Answer.OK, first)
        assert isinstance(wrong, ResponseError)
        assert str(wrong).startswith("WRONGTYPE")
    assert tickets.get("b").events == 0


def test_an_answer_says_that_the_job_is_to_make_room(tickets: Tickets) -> None:
    start(tickets, "a", "x")
    tickets.client.hset("iq:job:a", "preempt", 1)
    assert append(tickets, "a", "x", 1, Delta("one")) == (Answer.PREEMPTED, 1)
    assert append(tickets, "a", "x", 1, Delta("one")) == (Answer.PREEMPTED, 1)
    tickets.cancel("a")
    assert append(tickets, "a", "x", 2, Delta("two")) == (Answer.CANCELLED, 2)


def test_of_large_events_a_gateway_is_told_that_they_are_there(tickets: Tickets) -> None:
    """Its stream holds a hurry, which nobody counts, and not answers; who waits reads the record."""
    tickets.client.xgroup_create(OURS, "reader", mkstream=True)
    for job_id in "ab":
        running(tickets, job_id, OURS)
    small, large = encode([Delta("a")]).decode(), Delta("v" * 40_000)
    tickets.append("m", [piece("a", 1, Delta("a")), piece("b", 1, large)])
    [fields] = told(tickets, OURS)
    assert msgspec.msgpack.decode(fields[b"m"]) == [["a", 1, 1, "xa", small], ["b", 1, 1, "xb", ""]]
    assert read(tickets.client, "b").events == [large]


def test_a_gateway_gets_one_entry_and_an_older_one_gets_one_a_job(tickets: Tickets) -> None:
    for reply in (OURS, OLDER):
        tickets.client.xgroup_create(reply, "reader", mkstream=True)
    for job_id, reply in (("a", OURS), ("b", OURS), ("c", OLDER), ("d", OLDER)):
        running(tickets, job_id, reply)
    tickets.append("m", [piece(job_id, 1, Delta(job_id)) for job_id in "abcd"])
    [fields] = told(tickets, OURS)
    assert msgspec.msgpack.decode(fields[b"m"]) == [
        [job_id, 1, 1, f"x{job_id}", encode([Delta(job_id)]).decode()] for job_id in "ab"
    ]
    assert told(tickets, OLDER) == [
        {b"j": name, b"f": b"1", b"l": b"1", b"x": b"x" + name, b"e": encode([Delta(name.decode())])}
        for name in (b"c", b"d")
    ]


def test_a_reply_stream_that_cannot_be_written_costs_nobody_an_event(tickets: Tickets) -> None:
    tickets.client.set(OURS, "no stream")
    running(tickets, "a", OURS)
    assert append(tickets, "a", "xa", 1, Delta("one"), END) == (Answer.OK, 2)
    assert read(tickets.client, "a").events == [Delta("one"), END]


def test_a_gateway_reads_entries_of_either_form(served: Stack) -> None:
    """No worker lives: what the client gets comes from these entries alone."""
    tickets = Tickets(served.redis)
    worker = served.start_worker()
    worker.kill()
    worker.wait()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.http().post, CHATS, json=chat("never computed"))
        job_id = wait_for(lambda: next(iter(served.jobs()), ""), "the job")
        reply: Any = served.redis.hget(f"iq:job:{job_id}", "reply")
        older: Any = {"j": job_id, "f": 1, "l": 1, "x": "x", "e": encode([Delta("older, ", (1,))])}
        end: list[Event] = [Delta("ours", (2,), offset=7), Delta(finish_reason="stop", offset=11), Done(Usage(1, 2))]
        ours = msgspec.msgpack.encode(
            [["chatcmpl-of-nobody", 1, 1, "x", "[]"], [job_id, 2, 4, "x", encode(end).decode()]]
        )
        served.redis.xadd(reply, older)
        served.redis.xadd(reply, {"m": b"\xff, which is no MessagePack"})
        served.redis.xadd(reply, {"newer": "made up"})
        served.redis.xadd(reply, {"m": ours})
        assert answer.result(30).json()["choices"][0]["message"]["content"] == "older, ours"
        assert tickets.get(job_id).events == 0


def test_a_job_whose_events_cannot_be_written_leaves_its_neighbour_alone(served: Stack) -> None:
    served.start_worker(slots=2, echo_rate=20)
    http = served.http()
    words = " ".join(f"w{number}" for number in range(60))
    broken, sound = post_later(http, words), post_later(http, words)
    wait_for(lambda: min(map(served.events, (broken, sound))) > 5, "both to run")
    with served.redis.pipeline() as pipe:
        pipe.rename(f"iq:events:{broken}", "kept")
        pipe.set(f"iq:events:{broken}", "no stream")
        pipe.hget(f"iq:job:{broken}", "seq")
        *_, told = pipe.execute()
    wait_for(lambda: served.events(sound) > int(told) + 20, "the neighbour to go on")
    assert served.events(broken) == int(told), "the fault hit nothing"
    served.redis.rename("kept", f"iq:events:{broken}")
    for job_id in (sound, broken):  # the other one is lost to its worker, and goes on with the next
        wait_for(lambda job_id=job_id: served.state(job_id) == "completed", "the end")  # type: ignore[misc]  # its default
        assert http.get(f"/v1/jobs/{job_id}").json()["result"]["choices"][0]["message"]["content"] == words
