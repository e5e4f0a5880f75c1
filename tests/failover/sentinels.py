"""What sentinels know."""

from __future__ import annotations

from typing import Any

import redis


def agreed(sentinel: redis.Redis, replicas: int = 1) -> bool:
    """A sentinel knows both others, and so many replicas of the server `queue`."""
    try:
        masters: Any = sentinel.sentinel_masters()
        master = masters["queue"]
    except redis.RedisError:
        return False
    return bool(master["num-other-sentinels"] == 2 and master["num-slaves"] == replicas)
