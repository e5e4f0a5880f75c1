"""One who watches the overview through it all, and what the overview says in the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from typing import Any

from redis.asyncio import Redis

from tests.chaos.wire import Broken, Wire

_OVERVIEW = "/v1/overview"
_WHOSE = "the overview"


class OverviewWatcher:
    """It comes again whenever its gateway has died."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.seen = 0
        """How often it was told how things are."""

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._wire.request("GET", f"{_OVERVIEW}/events", whose=_WHOSE) as answer:
                    if answer.status == 200:
                        async for _, data in answer.events():
                            self.seen += "models" in json.loads(data)
            except Broken:
                pass
            await asyncio.sleep(0.5)

    async def judge(self, redis: Redis, models: Collection[str]) -> str:
        """Why what is told now cannot be: as many jobs have ended as the last hour had. Empty where it can."""
        if not self.seen:
            return "whoever watched the overview was told nothing"
        async with self._wire.request("GET", _OVERVIEW, whose=_WHOSE) as answer:
            history: Mapping[str, Any] = (await answer.json())["history"]["models"]
        told = {model: sum(history[model]["requests"]) if model in history else 0 for model in models}
        counted = {model: await _ended(redis, model) for model in models}
        return (
            ""
            if told == counted and any(told.values())
            else f"the overview's last hour had {told} jobs, but {counted} have ended"
        )


async def _ended(redis: Redis, model: str) -> int:
    found: Any = await redis.hgetall(f"iq:counts:{model}")
    return sum(int(count) for name, count in found.items() if name.startswith(b"jobs:"))
