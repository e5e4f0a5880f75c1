"""What a crash, a failover or an overflow takes from Redis, made for real."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis

from tests.stack import Stack


def lose_job(stack: Stack, job_id: str, model: str = "echo") -> None:
    """Redis has never heard of a job, as after a failover to a server that lagged behind."""
    place = stack.redis.hget(f"iq:job:{job_id}", "place") or b""
    parts = (f"iq:job:{job_id}", f"iq:task:{job_id}", f"iq:events:{job_id}", f"rq:job:{job_id}")
    found: Any = stack.redis.hmget(f"iq:job:{job_id}", "bytes", "owner")
    held, owner = found
    for of in {"*", owner.decode()} - {""}:
        stack.redis.hincrby("iq:bytes", of, -int(held))
    assert stack.redis.delete(*parts) >= 3  # its stream is begun, or not
    stack.redis.delete(f"iq:given:{job_id}")
    stack.redis.zrem("iq:unarchived", job_id)
    stack.redis.zrem(f"iq:waiting:{model}", place)
    for key in stack.redis.scan_iter("iq:owned:*"):
        stack.redis.srem(key, job_id)
    stack.redis.lrem(f"rq:queue:{model}", 0, job_id)
    stack.redis.zrem(f"iq:deadlines:{model}", job_id)
    for key in stack.redis.scan_iter("iq:reply:*:jobs"):
        stack.redis.srem(key, job_id)
    for key in stack.redis.scan_iter("iq:idempotency:*"):
        stack.redis.delete(key)


def copy_of(stack: Stack) -> Path:
    """The append-only files as they are now, all that came before written out."""
    time.sleep(1.2)  # appendfsync everysec
    copy = stack.directory / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(stack.directory / "appendonlydir", copy)
    return copy


def go_back(stack: Stack, copy: Path) -> None:
    """Kill Valkey and start it at once with what it knew at the time of the copy."""
    stack.valkey.kill()
    stack.valkey.wait()
    shutil.rmtree(stack.directory / "appendonlydir")
    shutil.copytree(copy, stack.directory / "appendonlydir")
    stack.start_valkey()


def forgetting(client: Redis) -> Callable[[], None]:
    """What has Redis be what it is now once more, the first time that it is called."""
    known = {key: (client.dump(key), max(0, client.pttl(key))) for key in client.scan_iter()}
    calls = iter([None])

    def forget() -> None:
        for _ in calls:
            client.flushall()
            for key, (blob, lasts) in known.items():
                client.restore(key, lasts, blob)  # type: ignore[arg-type]  # not awaited

    return forget
