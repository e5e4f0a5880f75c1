"""A hundred thousand small jobs leave nothing behind in Redis, and neither do answers that were stored.

Run by `make memory`, not by `make test`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from shared.keys import Key
from shared.protocol import Accepted, Chat, Completion, Kept, Message, Options, Sampling
from shared.tickets import Tickets
from tests.stack import Stack, running, wait_for

JOBS = 100_000
STORED = 1000
"""Answers that go through all of it. `make bench` has a hundred thousand stored past the queue, which takes longest."""
AT_ONCE = 500


def test_memory_is_back_after_the_retention(tmp_path: Path) -> None:
    with running(tmp_path, retention=1, log_level="warning") as stack:
        stack.start_worker(slots=8)
        submit(stack, 2000)  # scripts, connections, counters
        before = settled(stack)
        submit(stack, JOBS)
        after = settled(stack, before * 1.05)
    print(f"{before:,} bytes before, {after:,} after")  # noqa: T201  # for who asks for it - shown when it fails, or with -s
    assert after < before * 1.05


def test_stored_answers_leave_nothing_in_redis(tmp_path: Path) -> None:
    """Any gateway stores what nobody waits for."""
    with running(tmp_path, retention=1, log_level="warning") as stack:
        stack.start_worker(slots=8)
        gateway = stack.start_gateway()
        store(stack, "warm", 300)
        before = settled(stack)
        store(stack, "many", STORED)
        after = settled(stack, before * 1.05)
        assert stack.redis.zcard(Key.UNARCHIVED) == 0
        assert not list(stack.redis.scan_iter(f"{Key.GIVEN}*"))
        assert gateway.poll() is None
        for number in (0, STORED - 1):
            assert stack.client().responses.retrieve(name("many", number)).output_text == "one"
    print(f"{before:,} bytes before, {after:,} after {STORED} stored answers")  # noqa: T201  # for who asks for it
    assert after < before * 1.05


def name(run: str, number: int) -> str:
    return f"resp_{run.encode().hex()}{number:024x}"


def store(stack: Stack, run: str, count: int) -> None:
    """Have so many answers computed and stored, as if their gateways had died, and wait until Redis forgets them."""
    tickets = Tickets(stack.redis)
    given = {"type": "message", "role": "user", "content": "one", "id": "msg_1", "status": "completed"}
    options = Options(kept=Kept((given,)), background=True)
    task = Chat("echo", (Message("user", "one"),), Sampling(seed=1))
    for number in range(count):
        if number % AT_ONCE == 0:
            wait_for(lambda: int(stack.redis.zcard(Key.UNARCHIVED)) < AT_ONCE, "room", 120)
        job = Accepted(task, int(time.time()), format="openai.responses", options=options)
        tickets.submit(name(run, number), job, reply="", max_queue=10**6, wait=600, keep=1)
    wait_for(lambda: not any(stack.redis.scan_iter("iq:job:*", count=10_000)), "the end of the retention", 120)
    forget_claims(stack)


def submit(stack: Stack, count: int) -> None:
    """Have the worker do so many jobs, and wait until their retention is over."""
    tickets = Tickets(stack.redis)
    task = Completion("echo", ("one",), Sampling(seed=1))
    for index in range(count):
        if index % 500 == 0:
            wait_for(lambda: stack.redis.llen("rq:queue:echo") < 500, "room in the queue", 60)
        tickets.submit(
            f"cmpl-{count}-{index}", Accepted(task, int(time.time())), reply="", max_queue=10**6, wait=600, keep=1
        )
    wait_for(lambda: not any(stack.redis.scan_iter("iq:job:*", count=10_000)), "the end of the retention", 60)
    forget_claims(stack)


def forget_claims(stack: Stack) -> None:
    """What remembers a claim lasts for a minute beyond its job: see that it lasts no longer, and do not wait for it."""
    marks = list(stack.redis.scan_iter(f"{Key.EXEC}*", count=10_000))
    for start in range(0, len(marks), 1000):
        with stack.redis.pipeline(transaction=False) as pipe:
            for mark in marks[start : start + 1000]:
                pipe.ttl(mark)
                pipe.delete(mark)
            left = pipe.execute()[::2]
        assert -1 not in left
        assert max(left) <= 60


def settled(stack: Stack, enough: float = 0) -> int:
    """Bytes, once Redis has given back what it could: the least of ten seconds, for buffers and tables shrink late.

    No longer than until there are fewer than `enough`.
    """
    seen = []
    for _ in range(20):
        stack.redis.memory_purge()
        info: Any = stack.redis.info("memory")
        seen.append(int(info["used_memory"]))
        if seen[-1] < enough:
            break
        time.sleep(0.5)
    return min(seen)
