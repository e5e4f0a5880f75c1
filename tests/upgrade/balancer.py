"""A load balancer before the gateways of both releases, as a deployment has one; it notes which took in a job."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from tests.chaos.child import Child

_JOB = re.compile(rb"(?i)\r\nlocation: /v1/jobs/(\S+)")


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway, and where it listens."""

    child: Child
    port: int


class Balancer:
    """Passes each connection on to a gateway that is up."""

    def __init__(
        self, port: int, gateways: Callable[[], Sequence[Gateway]], random: Random, taken: dict[str, int]
    ) -> None:
        """`gateways`: those that it knows of now."""
        self._port = port
        self._gateways = gateways
        self._random = random
        self.taken = taken
        """The pid of the gateway that has answered first with a job, by the job."""
        self._connections: set[asyncio.Task[None] | None] = set()

    async def serve(self) -> None:
        """Until cancelled."""
        async with await asyncio.start_server(self._connect, "127.0.0.1", self._port) as server:
            await server.serve_forever()

    async def _connect(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._connections.add(task := asyncio.current_task())  # the event loop does not hold it
        try:
            await self._pass_through(client, to_client)
        finally:
            self._connections.discard(task)

    async def _pass_through(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        known = self._gateways()
        able = [gateway for gateway in known if gateway.child.up.is_set()]
        if not known:
            to_client.transport.abort()
            return
        gateway = self._random.choice(able or known)
        pid = gateway.child.pid
        try:
            upstream, to_upstream = await asyncio.open_connection("127.0.0.1", gateway.port)
        except OSError:
            to_client.transport.abort()
            return
        there = asyncio.create_task(_pass_on(client, to_upstream))
        try:
            with suppress(OSError):
                head = await upstream.read(65_536)
                if found := _JOB.search(head):
                    self.taken.setdefault(found[1].decode(), pid)
                to_client.write(head)
                back = asyncio.create_task(_pass_on(upstream, to_client))
                await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
                back.cancel()
        finally:
            there.cancel()
            to_upstream.transport.abort()
            to_client.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
