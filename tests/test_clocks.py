"""Redis's clock may jump, and everybody judges by it; and one lease is everybody's."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from tests.calls import post_later
from tests.stack import Stack, wait_for

HOUR = 3_600_000


def shift(stack: Stack, key: str) -> int:
    """All times of an index lie an hour further ahead, as if the clock had gone back by one. Returns how many."""
    members: Any = stack.redis.zrange(key, 0, -1, withscores=True)
    for member, score in members:
        stack.redis.zadd(key, {member: score + HOUR})
    return len(members)


def go_back_an_hour(stack: Stack, *keys: str) -> None:
    for key in ("iq:sweep:echo", "iq:lapse"):
        stack.redis.hincrby(key, "last", HOUR)
    assert all(shift(stack, key) for key in keys)


def test_a_jump_back_delays_the_recovery_of_a_lost_workers_job_by_little(empty: Stack) -> None:
    empty.start_gateway()
    empty.start_worker(echo_prefill_ms=60_000)
    job_id = post_later(empty.http(), "one")
    wait_for(lambda: empty.state(job_id) == "in_progress", "its start")
    empty.worker.kill()
    empty.worker.wait()
    go_back_an_hour(empty, "iq:leases:echo", "iq:live:workers", "iq:live:models", "iq:live:gateways")
    wait_for(lambda: empty.state(job_id) == "queued", "its recovery")
    wait_for(lambda: not empty.workers(), "the end of the belief in its worker", 60)


def test_a_jump_back_delays_a_deadline_by_no_more_than_the_patience(empty: Stack) -> None:
    empty.settings["request_timeout"] = 3
    empty.start_gateway()
    empty.start_worker(slots=1, echo_prefill_ms=60_000)
    running = post_later(empty.http(), "one")
    wait_for(lambda: empty.state(running) == "in_progress", "its start")
    waiting = post_later(empty.http(), "two")
    empty.redis.hincrby(f"iq:job:{waiting}", "deadline", HOUR)
    go_back_an_hour(empty, "iq:deadlines:echo")
    wait_for(lambda: empty.state(waiting) == "failed", "its deadline")


def test_whoever_has_another_lease_says_so_and_refuses(served: Stack) -> None:
    served.start_worker()
    settings = {**served.settings, "lease": 3, "port": 0}
    for part in (("gateway",), ("worker", "echo")):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "inferq", *part],
            env=os.environ | {f"INFERQ_{name.upper()}": str(value) for name, value in settings.items()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode != 0
        assert "INFERQ_LEASE is 3 here, and 2 for the others on this Redis" in done.stderr
        assert len(served.workers()) == 1


def test_a_lease_that_nobody_has_any_more_may_change(empty: Stack) -> None:
    gateway = empty.start_gateway()
    gateway.terminate()
    gateway.wait(20)
    empty.settings["lease"] = 3
    empty.start_gateway()
    empty.start_worker()
    assert empty.redis.get("iq:lease") == b"3000"
