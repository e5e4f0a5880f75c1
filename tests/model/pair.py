"""The scripts and the model side by side: each command goes to both, and both must be alike afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import shared.scripts
from shared import tickets, trail, unarchived
from shared.audit import audit
from shared.config import ConfigError
from shared.errors import InferqError
from shared.registry import Kind
from tests.model.invariants import check
from tests.model.picture import Picture, paint, take
from tests.model.proxy import Proxy
from tests.model.real import Edits, Real
from tests.model.world import World
from tests.stack import Stack, stop, wait_for

EPOCH = 1_700_000_000_000
MOST_EXECUTIONS, MOST_RETURNS, MOST_UNARCHIVED = 2, 1, 2
"""Here: so few that they are reached."""
LEAST = 20
"""Bytes of a beginning that has a mark."""
_AUDIT_EVERY = 10
_GOES_ON = ("due",)
"""What hands out the next ones when it is sent again: those that nobody has heard of are due again in a while."""


class Sending(Enum):
    """How a command reaches Redis. redis-py sends it again when its connection is lost before the answer came."""

    ONCE = auto()
    TWICE = auto()
    """Its duplicate follows at once."""
    LOST = auto()
    """Its answer is lost on the way, and redis-py sends it again."""
    LATE = auto()
    """It is sent again after others have had their say: see `Pair.resend`."""


class Durable(Stack):
    """A Valkey that loses nothing when it is killed: never held up by an fsync, it writes before it answers."""

    valkey_options = ("--appendfsync", "no")


class Pair:
    """One Valkey, and one model."""

    def __init__(self, directory: Path) -> None:
        self._as_it_was = (tickets.MOST_EXECUTIONS, tickets.MOST_RETURNS, shared.scripts.text)
        self._bound, self._least = unarchived.MOST_UNARCHIVED, trail.LEAST
        tickets.MOST_EXECUTIONS, tickets.MOST_RETURNS = MOST_EXECUTIONS, MOST_RETURNS
        unarchived.MOST_UNARCHIVED, trail.LEAST = MOST_UNARCHIVED, LEAST
        self.edits = Edits()
        shared.scripts.text = self.edits.text  # type: ignore[assignment]  # looked up anew by each `script`
        self.stack = Durable(directory)
        self.proxy = Proxy(self.stack.redis_port)
        self.steps = self.resent = self.restarts = self.audits = 0
        self._direct, self._proxied = _client(self.stack.redis_port), _client(self.proxy.port)
        self.broken_at: int | None = None
        """The step at which the two first differed."""
        self.reset()

    def close(self) -> None:
        for client in (self._direct, self._proxied):
            client.close()
        self.proxy.close()
        self.stack.close()
        tickets.MOST_EXECUTIONS, tickets.MOST_RETURNS, shared.scripts.text = self._as_it_was
        unarchived.MOST_UNARCHIVED, trail.LEAST = self._bound, self._least

    def reset(self) -> None:
        """Both empty."""
        self.stack.redis.flushall()
        self.real = Real(self._direct)
        self.through_proxy = Real(self._proxied)
        self.world = World()
        self.before: Picture = {}
        self.commands = 0
        self.sound = True
        self.late: dict[object, tuple[str, tuple[Any, ...], dict[str, Any]]] = {}
        """Commands that will be sent again, by who waits for their answers."""
        self.pass_time(EPOCH)

    def pass_time(self, milliseconds: int) -> None:
        """Redis's clock moves; it may jump, and back too."""
        self.world.now += milliseconds
        self.real.set_clock(self.world.now)

    def do(
        self, command: str, *args: Any, sending: Sending = Sending.ONCE, actor: object = None, **options: Any
    ) -> Any:
        """Have both do the command, and compare. `actor` waits for its answer, and does nothing else before."""
        with self._watched():
            return self._do(command, args, options, sending, actor)

    def resend(self, actor: object) -> None:
        """The duplicate of a command arrives."""
        with self._watched():
            self._resend(actor)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self.broken_at = self.broken_at or self.steps
            self.sound = False
            raise

    def _do(self, command: str, args: tuple[Any, ...], options: dict[str, Any], sending: Sending, actor: object) -> Any:
        if actor in self.late:
            self._resend(actor)
        step = (command, args, options)
        if sending is Sending.LOST:
            lost = self.proxy.lost
            self.proxy.armed = True
            real = partial(_outcome, getattr(self.through_proxy, command), args, options)
            answer = real()
            self.proxy.armed = False
            for _ in range(self.proxy.lost - lost):
                self.resent += 1
                _outcome(getattr(self.world, command), args, options)
            self._compare(command, args, options, answer)
            return answer
        answer = self._step(*step)
        if sending is Sending.TWICE:
            before = self.before
            self._step(*step)
            self.resent += 1
            assert self.before == before or command in _GOES_ON, (
                f"{command} changed something when it was sent again: {args} {options}"
            )
        if sending is Sending.LATE:
            self.late[actor if actor is not None else len(self.late)] = step
        return answer

    def _resend(self, actor: object) -> None:
        self.resent += 1
        self._step(*self.late.pop(actor))

    def _step(self, command: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        answer = _outcome(getattr(self.real, command), args, options)
        self._compare(command, args, options, answer)
        return answer

    def _compare(self, command: str, args: tuple[Any, ...], options: dict[str, Any], answer: Any) -> None:
        self.steps += 1
        self.commands += 1
        said = f"of {command} {args} {options}"
        expected = _outcome(getattr(self.world, command), args, options)
        assert answer == expected, f"{command} answered\n    {answer}, and should\n    {expected}\n{said}"
        after = take(self.real.client)
        painted = paint(self.world)
        if after != painted:
            keys = [key for key in sorted(after.keys() | painted.keys()) if after.get(key) != painted.get(key)]
            told = [f"  {key}\n    is        {after.get(key)}\n    should be {painted.get(key)}" for key in keys]
            raise AssertionError("\n".join([f"after {command}", *told, said]))
        check(self.before, after, command)
        self.before = after
        if self.commands % _AUDIT_EVERY == 0:
            self.audit()

    def audit(self) -> None:
        """The books of `inferq check` balance, but for what the model explains."""
        self.audits += 1
        for finding in audit(self.real.client, pause=0).findings:
            assert self._explained(finding.subject, finding.problem), finding

    def _explained(self, subject: str, problem: str) -> bool:
        """Gateways that went on after they had been forgotten, and answers that nobody stores for long."""
        if problem.endswith("s to be stored"):
            return bool(self.world.jobs[subject].unarchived)
        return subject.endswith(":jobs") and subject.removesuffix(":jobs") not in self.world.live[Kind.GATEWAYS]

    def restart_valkey(self, *, kill: bool) -> None:
        """Valkey dies, or is stopped, and comes back with what it has in its file."""
        self.restarts += 1
        if kill:
            self.stack.valkey.kill()
            self.stack.valkey.wait()
        else:
            stop(self.stack.valkey)
        self.stack.start_valkey()
        wait_for(lambda: _loaded(self.stack.redis), "the file to be read")
        assert take(self.real.client) == self.before, "Valkey came back with something else"


def _client(port: int) -> redis.Redis:
    """One that sends again like `shared.store.connect`'s, without its pauses."""
    retry = Retry(NoBackoff(), 3, supported_errors=(redis.ConnectionError,))
    return redis.Redis("127.0.0.1", port, protocol=2, retry=retry)


def _outcome(call: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Its answer, or the name of its error."""
    try:
        return call(*args, **options)
    except (InferqError, ConfigError) as exc:
        return type(exc).__name__


def _loaded(client: redis.Redis) -> bool:
    return not client.info("persistence")["loading"]
