"""The connection to Redis (or Valkey) that gateway and worker share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from shared.config import PREFIX, ConfigError
from shared.errors import StoreUnavailable

log = logging.getLogger(__name__)

# An outage is: no connection, no answer in time, LOADING, READONLY, OOM, MASTERDOWN. Never a fault of the job at hand.
Outage = (redis.ConnectionError, redis.TimeoutError, redis.ResponseError)


def connect(url: str, *, timeout: float = 5.0, retries: int = 3) -> redis.Redis:
    """A client with a pool of its own; connects when it is first used.

    `timeout` bounds each wait for an answer, in seconds. A command whose connection was lost is sent again up to
    `retries` times, so every write must be idempotent; one that was not answered in time is not sent again.

    Raises ConfigError for a URL that is none, without quoting it.
    """
    options: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "protocol": 2}
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.02), retries, supported_errors=(redis.ConnectionError,))
    try:
        client: redis.Redis = redis.Redis.from_url(url, retry=retry, health_check_interval=15, **options)
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # refuses unknown options of the URL; connects to nothing
    except (TypeError, ValueError):  # what they say may quote the password
        raise ConfigError(
            f"{PREFIX}REDIS_URL is not the URL of a Redis: redis://, rediss:// or unix://, with options that redis-py"
            " knows; in a password / ? # @ and % are written %2F %3F %23 %40 and %25"
        ) from None
    return client


@contextmanager
def translated() -> Iterator[None]:
    """Turn Redis's errors into `StoreUnavailable`."""
    try:
        yield
    except Outage as exc:
        log.warning("redis: %s", exc)
        raise StoreUnavailable("The queue does not answer at the moment. Please try again.") from exc
