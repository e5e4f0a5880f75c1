"""What is measured: memory, files and threads of each process, greenlets of the gateway, and keys of Redis."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.slope import drift
from tests.stack import Stack, children

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Gauge:
    """A kind of quantity."""

    name: str
    unit: float
    """What it is shown in."""
    slack: float
    """By so much it may rise in any case: what is allocated goes in steps, and clients come in bunches."""


MEMORY = Gauge("memory, MB", MB, 6 * MB)
FILES = Gauge("files", 1, 16)
THREADS = Gauge("threads", 1, 3)
GREENLETS = Gauge("greenlets", 1, 24)
KEYS = Gauge("keys", 1, 200)
USED = Gauge("used, MB", MB, 3 * MB)


@dataclass(slots=True)
class Gauges:
    """All measurements, by whose they are."""

    stack: Stack
    metrics: str
    """The head of a request for /metrics."""
    values: dict[tuple[str, Gauge], list[float]] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    """Processes that are there no longer."""
    _processes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        gateways = sorted(children(self.stack.gateway))
        self._processes = {"valkey": self.stack.valkey.pid, "gateway": self.stack.gateway.pid}
        self._processes |= {f"gateway process {number}": pid for number, pid in enumerate(gateways, 1)}
        for child in self.stack.children[2:]:
            model = Path(str(child.args[5])).stem  # type: ignore[index]  # a list, as Stack makes it
            self._processes[f"worker {model}"] = child.pid
            self._processes |= {f"engine host {model}": pid for pid in children(child)}

    async def keep(self, pace: float) -> None:
        """Measure until cancelled."""
        while True:
            begun = time.monotonic()
            for (whose, gauge), value in (await self.look()).items():
                self.values.setdefault((whose, gauge), []).append(value)
            await asyncio.sleep(max(0, pace - (time.monotonic() - begun)))

    async def look(self) -> dict[tuple[str, Gauge], float]:
        """Measure once."""
        found: dict[tuple[str, Gauge], float] = {}
        for name, pid in list(self._processes.items()):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                found[name, MEMORY] = int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024
                found[name, THREADS] = int(re.findall(r"Threads:\s+(\d+)", status)[0])
                found[name, FILES] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            except (OSError, IndexError):
                self.ended.append(f"{name} has ended")
                del self._processes[name]
        info: Any = await asyncio.to_thread(self.stack.redis.info, "memory")
        found["redis", USED] = info["used_memory"]
        size: Any = await asyncio.to_thread(self.stack.redis.dbsize)
        found["redis", KEYS] = size
        found["gateway", GREENLETS] = await self._greenlets()
        return found

    async def _greenlets(self) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.stack.port)
        writer.write(self.metrics.encode())
        async with asyncio.timeout(60):
            text = (await reader.read()).decode()
        writer.close()
        return float(re.findall(r"^inferq_gateway_greenlets (\S+)", text, re.MULTILINE)[0])

    def rows(self) -> Iterator[tuple[str, bool]]:
        """A line for each, and whether it is flat."""
        yield f"{'whose':22} {'what':12} {'median':>9} {'rise':>9} {'noise':>9} {'slack':>9}", True
        for (whose, gauge), values in sorted(self.values.items(), key=lambda each: (each[0][0], each[0][1].name)):
            found = drift(values)
            flat = found.rise <= max(found.noise, gauge.slack)
            shown = (found.middle, found.rise, found.noise, gauge.slack)
            figures = " ".join(f"{value / gauge.unit:9.2f}" for value in shown)
            yield f"{whose:22} {gauge.name:12} {figures} {'' if flat else '  GROWS'}", flat
