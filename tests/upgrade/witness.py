"""Which release did what to a job: a run in which nothing is handed over between the two proves nothing."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

from redis.exceptions import RedisError

from tests.chaos.clients import Client
from tests.upgrade.fleet import Fleet

Handovers = Counter[tuple[str, str, str]]
"""How often something was handed over: what, from which side, to which."""

SUBMITTED, CONTINUED = "submitted by a gateway, computed by a worker", "begun by a worker, continued by another"


class Witness:
    """Looks at who computes what, and reads the records in the end."""

    def __init__(self, fleet: Fleet, taken: Mapping[str, int]) -> None:
        """`taken`: see `Balancer`."""
        self._fleet = fleet
        self._taken = taken
        self._workers: dict[str, str] = {}
        self._executions: dict[str, str] = {}
        """The side of each execution that was seen."""

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            with suppress(RedisError):
                await self._look()
            await asyncio.sleep(0.05)

    async def handovers(self, clients: Iterable[Client]) -> Handovers:
        """Those of all jobs whose records are still there, as far as they were seen."""
        found = Handovers()
        for client in clients:
            entries: Any = await self._fleet.redis.xrange(f"iq:events:{client.job}")
            authors = dict.fromkeys(fields.get(b"x", b"").decode() for _, fields in entries)
            sides = [self._executions[author] for author in authors if author in self._executions]
            for one, other in pairwise(sides):
                found[CONTINUED, one, other] += 1
            taken = self._taken.get(client.job)
            if taken is not None and client.attempts == 1:  # else another gateway may have accepted it
                for side in set(sides):
                    found[SUBMITTED, self._fleet.side(taken), side] += 1
        return found

    async def _look(self) -> None:
        redis = self._fleet.redis
        for job in await self._fleet.running():
            fields: Any = await redis.hmget(f"iq:job:{job}", "exec", "worker")
            execution, worker = fields
            if not (execution and worker) or execution.decode() in self._executions:
                continue
            if side := await self._side(worker.decode()):
                self._executions[execution.decode()] = side

    async def _side(self, worker: str) -> str:
        """Of a worker; empty where it is gone, and was not seen before."""
        if worker not in self._workers and (card := await self._fleet.redis.get(f"iq:card:workers:{worker}")):
            self._workers[worker] = self._fleet.side(json.loads(card)["pid"])
        return self._workers.get(worker, "")
