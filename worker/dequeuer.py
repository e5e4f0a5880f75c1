"""How a worker comes by jobs: it takes permits off the queue, and claims what they stand for."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from redis import Redis

from shared.keys import Key
from shared.store import Line
from shared.ticket import Claim, LeftForOthers
from shared.tickets import Tickets
from worker.execution import Execution
from worker.run import patiently

Claimed = Claim | LeftForOthers | None


class Dequeuer:
    """That of one worker. Raises Redis's errors."""

    def __init__(self, client: Redis, worker: str, model: str, digest: str, lease_ms: int) -> None:
        self._client = client
        self._worker = worker
        self._model = model
        self._digest = digest
        self._lease_ms = lease_ms

    @cached_property
    def _line(self) -> Tickets:
        """By the connection of the one thread that waits for permits."""
        return Tickets(Line(self._client))

    def take(self, queue: str) -> bytes | None:
        """A permit, the worker's own or anybody's, for which it waits up to a second; b"" where a job waits without
        one."""
        found: Any = self._line.client.blmpop(1, 2, f"{Key.PERMITS}{self._worker}", queue, direction="LEFT")
        if found:
            return bytes(found[1][0])
        return b"" if self._line.waits(self._model) else None

    def new_id(self) -> str:
        """A name for an execution."""
        return Execution.new_id(self._digest)

    def claim(self, permit: str, execution_id: str) -> Claimed:
        """A job for a new execution; only for the thread that takes permits."""
        return self._claim(self._line, permit, execution_id)

    def claim_patiently(self, permit: str, execution_id: str) -> Claimed:
        """The same for any thread, which waits for Redis. Who asks again under the same name is answered alike."""
        tickets = Tickets(self._client)
        return patiently(lambda: self._claim(tickets, permit, execution_id))

    def _claim(self, tickets: Tickets, permit: str, execution_id: str) -> Claimed:
        return tickets.claim(self._model, permit, execution_id, lease_ms=self._lease_ms, worker=self._worker)
