"""Who watches the parts while they are attacked: their memory, and that they live."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from shared import registry
from tests.attack.ground import Ground
from tests.beside import Helper
from tests.stack import children

_PACE = 0.1
"""Seconds between two looks."""


@dataclass(slots=True)
class Seen:
    """What was seen, in bytes. Of several gateway processes the worst."""

    idle: int = 0
    """Of the gateway before the attack."""
    worst: int = 0
    now: int = 0
    worker: int = 0
    """The most that a worker had beyond what it had before the attack."""
    host: int = 0
    """The most that a child of a worker had, beyond what the largest of them had before: some are started on demand."""
    redis: int = 0
    """The most that Redis used."""
    lapsed: int = 0
    """The most workers whose cards were missing at one time."""
    ended: list[str] = field(default_factory=list)
    """Processes that are there no longer."""


class Watch:
    """Looks ten times a second. The kernel tells a gateway's worst, so that no peak is missed between two looks."""

    def __init__(self, ground: Ground) -> None:
        self.seen = Seen()
        self._ground = ground
        self._redis = redis.Redis(ground.host, ground.redis_port, protocol=2, socket_timeout=5)
        self._processes = ground.processes()
        self._gateways = sorted(children(ground.gateway))
        self._workers = len(ground.workers())
        self._homes = [child for child in ground.children if child not in (ground.valkey, ground.gateway)]
        self._before = self._of_workers()
        self._over = threading.Event()

    def __enter__(self) -> Watch:
        for pid in self._gateways:
            with suppress(PermissionError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
        now = max(map(_memory, self._gateways))
        self._ground.idle = self._ground.idle or now
        self.seen.idle, self.seen.now = self._ground.idle, now
        self._helper = Helper(self._run)
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._helper.finish(60)
        self._redis.close()

    def calm_down(self, within: float, seconds: float) -> float:
        """Wait until the gateway's memory is so near to its idle one, in bytes; how long it took, at most `seconds`."""
        begun = time.monotonic()
        while self.seen.now - self.seen.idle > within and time.monotonic() - begun < seconds:
            time.sleep(_PACE)
        return time.monotonic() - begun

    def _run(self) -> None:
        while not self._over.wait(_PACE):
            self._look()
        self._look()

    def _look(self) -> None:
        seen = self.seen
        for pid in [
            pid for pid in self._processes if not _memory(pid)
        ]:  # ended, also where nobody has waited for it yet
            seen.ended.append(f"{self._processes.pop(pid)} {pid}")
        seen.now = max(map(_memory, self._gateways))
        seen.worst = max(seen.worst, *map(_peak, self._gateways))
        worker, host = self._of_workers()
        seen.worker, seen.host = max(seen.worker, worker - self._before[0]), max(seen.host, host - self._before[1])
        with suppress(redis.RedisError):
            memory: Any = self._redis.info("memory")
            seen.redis = max(seen.redis, int(memory["used_memory"]))
            serving = sum(worker.card is not None for worker in registry.workers(self._redis))
            seen.lapsed = max(seen.lapsed, self._workers - serving)

    def _of_workers(self) -> tuple[int, int]:
        """The most memory of a worker, and of a child of one, in bytes."""
        hosts = (pid for worker in self._homes for pid in children(worker))
        return max((_memory(worker.pid) for worker in self._homes), default=0), max(map(_memory, hosts), default=0)


def _memory(pid: int) -> int:
    return _status(pid, "VmRSS:")


def _peak(pid: int) -> int:
    return _status(pid, "VmHWM:")


def _status(pid: int, name: str) -> int:
    """Bytes; 0 of a process that is there no longer."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0
