"""A hundred thousand small jobs leave nothing behind in Redis. Run by `make memory`, not by `make test`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from shared.keys import Key
from shared.protocol import Accepted, Completion, Sampling
from shared.tickets import Tickets
from tests.stack import Stack, running, wait_for

JOBS = 100_000


def test_memory_is_back_after_the_retention(tmp_path: Path) -> None:
    with running(tmp_path, retention=1, log_level="warning") as stack:
        stack.start_worker(slots=8)
        submit(stack, 2000)  # scripts, connections, counters
        before = settled(stack)
        submit(stack, JOBS)
        after = settled(stack, before * 1.05)
    print(f"{before:,} bytes before, {after:,} after")  # noqa: T201 - shown when it fails, or with -s
    assert after < before * 1.05


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
