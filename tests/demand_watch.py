"""What is seen from outside of models that are loaded on demand: processes, their memory, and who is kept out."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx

from tests.beside import Helper

_LOOK = 0.05
_ASK = 0.25
"""Seconds between two looks at the processes, and between two questions what is loaded."""


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


def parents() -> dict[int, int]:
    """Of all processes that live; those that have ended and wait for theirs are left out."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(place.name)] = int(parent)
    return found


def proportional(pid: int) -> int:
    """Bytes of memory that it takes, its part of what it shares with others; 0 where it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


@dataclass
class Seen:
    """At most, at any moment."""

    loaded: int = 0
    """Workers."""
    memory: int = 0
    """Bytes that these and their engines' hosts took."""
    looks: int = 0
    kept_out: dict[str, float] = field(default_factory=dict)
    """Seconds that a request of each model waited at most while it was not loaded, and the supervisor was there."""
    slowest_load: float = 0.0
    """Seconds from the start of a worker's process to its model being there."""
    loading: float = 0.0
    """Seconds that all loads took at least, as far as was seen."""
    slowest_end: float = 0.0
    """Seconds from when a worker was seen to serve last to the end of its process, with what it computes."""
    longest_away: float = 0.0
    """Seconds for which nobody answered."""
    loads: int = 0
    """Workers that were started."""


class Watch:
    """Looks at a supervisor's workers, also at those of one that was killed, until it is closed."""

    def __init__(
        self, url: str, supervisor: Callable[[], int], waiting: Callable[[], Iterable[tuple[str, float]]]
    ) -> None:
        """`supervisor` is its pid, `waiting` the models of open requests, each with when that was sent (monotonic)."""
        self._url, self._supervisor, self._waiting = url, supervisor, waiting
        self.seen = Seen()
        self._workers: dict[int, tuple[str, float]] = {}
        self._there: dict[str, float] = {}
        """When each model was seen loaded last, or failed, which ends all that wait."""
        self._anew: dict[str, float] = {}
        self._begun = 0.0
        """From when on waits count: of each model, and of all."""
        self._known: set[int] = set()
        self._ready: set[int] = set()
        """The workers that were started, and those of them whose models were seen loaded."""
        self._over = threading.Event()
        self._helpers = [Helper(each) for each in (self._look, self._ask)]

    def close(self) -> Seen:
        self._over.set()
        for helper in self._helpers:
            helper.finish(60)
        return self.seen

    def workers(self) -> dict[int, str]:
        """The pids of those that live, with their models."""
        return {pid: model for pid, (model, _) in list(self._workers.items())}

    def begin_anew(self, model: str) -> None:
        """A worker of it was killed: who waits for it comes after all others."""
        self._anew[model] = time.monotonic()

    def pause(self) -> None:
        """The supervisor is about to be killed."""
        self._begun = math.inf

    def go_on(self) -> None:
        """It is there again."""
        self._begun = time.monotonic()

    def _look(self) -> None:
        while not self._over.wait(_LOOK):
            table, now = parents(), time.monotonic()
            for pid, parent in table.items():
                with suppress(OSError):
                    if parent == self._supervisor() and pid not in self._workers and self._is_worker(pid):
                        self._workers[pid] = title(pid).split()[-1], now
                        self.seen.loads += pid not in self._known
                        self._known.add(pid)
            for pid in self._workers.keys() - table.keys():
                model, _ = self._workers.pop(pid)
                if pid in self._ready:
                    self.seen.slowest_end = max(self.seen.slowest_end, now - self._there[model])
            family = set(self._workers)
            while more := {pid for pid, parent in table.items() if parent in family} - family:
                family |= more
            self.seen.loaded = max(self.seen.loaded, len(self._workers))
            self.seen.memory = max(self.seen.memory, sum(map(proportional, family)))
            self.seen.looks += 1

    def _is_worker(self, pid: int) -> bool:
        return "inferq worker" in title(pid)

    def _ask(self) -> None:
        answered = time.monotonic()
        with httpx.Client(base_url=self._url, timeout=10) as http:
            while not self._over.wait(_ASK):
                now = time.monotonic()
                with suppress(httpx.HTTPError):
                    told = http.get("/v1/models").json().get("data", ())
                    states = {model["id"]: model["state"] for model in told}
                    self._note(states, before=answered, now=time.monotonic())
                    self.seen.longest_away, answered = max(self.seen.longest_away, now - answered), now

    def _note(self, states: Mapping[str, str], *, before: float, now: float) -> None:
        """`before` is when this was asked the last time."""
        loaded = {model for model, state in states.items() if state == "ready"}
        for pid, (model, since) in list(self._workers.items()):
            if model in loaded and pid not in self._ready:
                self._ready.add(pid)
                self.seen.slowest_load = max(self.seen.slowest_load, now - since)
                self.seen.loading += max(0.0, before - since)
        self._there |= {model: now for model, state in states.items() if state in ("ready", "failed")}
        for model, since in self._waiting():
            if model not in loaded:
                out = now - max(since, self._begun, self._there.get(model, 0.0), self._anew.get(model, 0.0))
                self.seen.kept_out[model] = max(out, self.seen.kept_out.get(model, 0.0))
