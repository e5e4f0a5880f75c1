"""Faults of Redis, here Valkey: it is killed, frozen and put back, and the ways to it are cut."""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable

from tests.chaos.faults import Fault, Ground, Makers


class RedisFaults:
    """Of Valkey itself, and of its connections."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        valkey = ground.house.valkey
        self.makers: Makers = {
            "SIGKILL valkey": lambda: self._valkey("SIGKILL valkey", lambda: valkey.hurt(signal.SIGKILL)),
            "SIGSTOP valkey": self._freeze,
            "restart valkey at once": lambda: self._valkey("restart valkey at once", valkey.restart),
            "valkey a second back": lambda: self._valkey("valkey a second back", ground.house.put_back),
            "partition worker": self._cut_off_worker,
            "partition gateway": self._cut_off_gateway,
        }

    async def _freeze(self) -> Fault | None:
        valkey = self._ground.house.valkey
        seconds = self._ground.random.uniform(1, 5)
        return await self._valkey(
            "SIGSTOP valkey", lambda: valkey.hurt(signal.SIGSTOP), lambda: valkey.thaw_after(seconds)
        )

    async def _valkey(
        self, kind: str, strike: Callable[[], bool | None], meanwhile: Callable[[], Awaitable[None]] | None = None
    ) -> Fault | None:
        """`strike` returns False where it could not."""
        valkey = self._ground.house.valkey
        if not valkey.up.is_set():
            return None
        running = await self._ground.house.running()
        fault = Fault(kind, time.monotonic(), len(running), stops_all=True)
        if strike() is False:
            return None
        return self._ground.watch(fault, valkey, meanwhile() if meanwhile else None)

    async def _cut_off_worker(self) -> Fault | None:
        """It hit the jobs that run on it. Others take them over when it lasts longer than their lease."""
        worker = self._ground.pick(self._ground.replaceable())
        if worker is None:
            return None
        jobs = await self._ground.house.running_on(worker)
        fault = Fault("partition worker", time.monotonic(), len(jobs))
        self._ground.strike(jobs, fault.at)
        return self._ground.cut_off(worker, fault)

    async def _cut_off_gateway(self) -> Fault | None:
        """It hit all jobs that run: nobody hears of them."""
        gateway = self._ground.house.gateway
        if not gateway.up.is_set():
            return None
        running = await self._ground.house.running()
        return self._ground.cut_off(gateway, Fault("partition gateway", time.monotonic(), len(running), stops_all=True))
