"""The connection to Redis (or Valkey) that gateway and worker share."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty
from typing import Any
from urllib.parse import unquote

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedConnection

from shared import disturbance
from shared.config import PREFIX, ConfigError
from shared.errors import JobNotFound, MemoryFull, NotStored, StoreUnavailable

# An outage is: no connection, no answer in time, LOADING, READONLY, OOM, MASTERDOWN. Never a fault of the job at hand.
Outage = (redis.ConnectionError, redis.TimeoutError, redis.ResponseError)


_CONNECTIONS = 64
"""Commands that one client has under way at once; further ones wait for their turn, as long as for an answer."""
_SENTINEL = "redis+sentinel://"


def connect(url: str, *, timeout: float = 5.0, retries: int = 3) -> redis.Redis:
    """A client with a pool of its own; connects when it is first used.

    `timeout` bounds each wait for an answer, in seconds. A command whose connection was lost is sent again up to
    `retries` times, so every write must be idempotent; one that was not answered in time is not sent again.

    Besides redis-py's URLs there is `redis+sentinel://user:password@host:port,host:port/NAME/DB`: the master that the
    sentinels call NAME, whichever it is at the time.

    Raises ConfigError for a URL that is none, without quoting it.
    """
    options: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "protocol": 2}
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.02), retries, supported_errors=(redis.ConnectionError,))
    options |= {"retry": retry, "health_check_interval": 15}
    try:
        if url.startswith(_SENTINEL):
            return _master(url.removeprefix(_SENTINEL), options)
        pool = _Pool.from_url(url, max_connections=_CONNECTIONS, timeout=timeout, **options)
        pool.connection_class(**pool.connection_kwargs)  # refuses unknown options of the URL; connects to nothing
    except (TypeError, ValueError):  # what they say may quote the password
        raise ConfigError(
            f"{PREFIX}REDIS_URL is not the URL of a Redis: redis://, rediss:// or unix://, with options that redis-py"
            f" knows, or {_SENTINEL}host:port,host:port/NAME/DB;"
            " in a password / ? # @ and % are written %2F %3F %23 %40 and %25"
        ) from None
    client: redis.Redis = _Direct.from_pool(pool)
    return client


class _Pool(redis.BlockingConnectionPool):
    """It lends its connections without records for observers, and looks with one call whether they are sound: under
    gevent redis-py's own look is a round of the event loop."""

    def get_connection(self, *args: Any, **options: Any) -> Any:
        self._checkpid()
        try:
            connection: Any = self.pool.get(timeout=self.timeout) or self.make_connection()  # type: ignore[no-untyped-call]  # redis-py has no types there
        except Empty:
            raise redis.ConnectionError("No connection available.") from None
        try:
            connection.connect()
            if not _is_quiet(connection):
                connection.disconnect()
                connection.connect()
        except BaseException:
            self.release(connection)  # type: ignore[no-untyped-call]  # as above
            raise
        return connection


def _is_quiet(connection: Any) -> bool:
    """Whether it is open, and nothing has come that nobody has asked for, nor was left by who has read before."""
    sock, reader = connection._sock, getattr(connection._parser, "_reader", None)
    if reader is None or isinstance(sock, ssl.SSLSocket):  # no hiredis, or letters of its own
        try:
            return not connection.can_read()
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            return False
    if reader.has_data():
        return False
    timeout = sock.gettimeout()
    sock.settimeout(0)
    try:
        sock.recv(1, socket.MSG_PEEK)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        sock.settimeout(timeout)


class _Direct(redis.Redis):
    """A client that leaves out what redis-py does around each command for observers, which takes longer than it."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        connection: Any = self.connection or self.connection_pool.get_connection()
        try:
            return connection.retry.call_with_retry(
                lambda: self._send_command_parse_response(connection, args[0], *args, **options),  # type: ignore[no-untyped-call]  # redis-py has no types there
                lambda error: connection.disconnect(),
            )
        finally:
            if not self.connection:
                self.connection_pool.release(connection)


class Line(_Direct):
    """One connection of a client's pool, kept for one thread that sends a command after the other.

    The pool is not asked for one each time. Connects at once.
    """

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(connection_pool=client.connection_pool, single_connection_client=True)


def refuse_cluster(client: redis.Redis) -> None:
    """Raises ConfigError for a Redis Cluster: it would spread what each script changes in one step over its nodes."""
    with suppress(redis.exceptions.NoPermissionError):  # who may not ask has to know
        # Unlike INFO it needs no right that the least ACL lacks.
        told: Any = client.execute_command("HELLO")  # type: ignore[no-untyped-call]  # redis-py has no types there
        if dict(zip(told[::2], told[1::2], strict=True))[b"mode"] == b"cluster":
            raise ConfigError(
                f"{PREFIX}REDIS_URL names a Redis Cluster, which inferq cannot use: it needs one Redis, or a master"
                f" and its replicas behind sentinels ({_SENTINEL}…)"
            )


def _master(rest: str, options: dict[str, Any]) -> redis.Redis:
    """Raises ValueError for what is no sentinels, name and number."""
    before, _, hosts_and_name = rest.rpartition("@")
    user, _, password = map(unquote, before.partition(":"))
    hosts, name, *database = hosts_and_name.split("/")
    sentinels = [(host, int(port)) for host, _, port in (each.rpartition(":") for each in hosts.split(","))]
    if not name or len(database) > 1 or not all(host for host, _ in sentinels):
        raise ValueError(rest)
    login = {"username": user or None, "password": password} if before else {}
    asking = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout", "protocol")}
    # This pool refuses where the other one has commands wait, so its bound is one that is not met.
    options = options | {"connection_class": _ToMaster, "max_connections": 10_000}
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has not annotated it
        sentinels, sentinel_kwargs=asking, **options, **login
    )
    master: redis.Redis = sentinel.master_for(name, db=int(database[0]) if database and database[0] else 0)
    return master


class _ToMaster(SentinelManagedConnection):
    """A connection to whichever server is the master when it is opened.

    Redis-py's own stays open after an answer that did not come in time, so that the next command would be given it; and
    one that was lost while a command was under way is opened to the server it led to before.
    """

    def read_response(self, *args: Any, disconnect_on_error: bool | None = True, **options: Any) -> Any:
        return super().read_response(*args, disconnect_on_error=disconnect_on_error, **options)

    def send_packed_command(self, *args: Any, **options: Any) -> None:
        if not self.is_connected:
            self.connect()  # type: ignore[no-untyped-call]  # redis-py has no types there
        super().send_packed_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py has no types there


@contextmanager
def translated() -> Iterator[None]:
    """Turn Redis's errors into `StoreUnavailable`, and what it refuses for want of memory into `MemoryFull`."""
    try:
        yield
        disturbance.redis.end()
    except redis.OutOfMemoryError as exc:
        raise MemoryFull("The queue's memory is full at the moment. Please try again later.") from exc
    except Outage as exc:
        disturbance.redis.fail(str(exc))
        raise StoreUnavailable("The queue does not answer at the moment. Please try again.") from exc


@contextmanager
def translate_loss() -> Iterator[None]:
    """Around what is done with a job that was accepted just now: Redis may lose it before its client hears of it."""
    try:
        yield
    except (JobNotFound, NotStored) as exc:
        raise StoreUnavailable("The queue has lost the request before it could be kept. Please try again.") from exc
