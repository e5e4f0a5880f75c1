"""The estimates: how long a waiting job will wait, and when a refused client may come again.

A model's jobs are taken to hold a slot for as long as the last ones of their tier did on average. With how long the
running ones have been running, that tells when places in the queue come up: no clock of ours, no rate that an idle hour
would falsify. While a job waits, others of better tiers come and go before it: the slots that those took lately are
taken to be lost to it.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace

from shared import registry
from shared.scripts import script
from shared.store import Outage
from shared.ticket import Tier
from shared.tickets import Tickets

_FRESH = 1.0
"""Seconds for which an outlook serves everybody who asks."""
_SOONEST, _LATEST = 0.5, 120.0
"""Seconds after which a refused client shall come again: the `openai` client comes no sooner by itself, and does not
come again at all when it is told to wait for longer."""
_SPREAD = 10
"""Refused clients come again within the time in which this part of the queue is served: one in so many."""

_WINDOW_MS, _LEAST_MS, _STEP_MS = 600_000, 60_000, 10_000
"""Over how long it is told which tier takes which share of the slots, over how long at least, and how far apart the
moments are that are remembered for it."""
_MOST_OVERTAKEN = 0.75
"""Whatever comes, jobs that have waited for long get every fourth start."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A waiting job's turn."""

    position: int
    """Its place in the queue, from 1."""
    wait: float | None
    """Seconds until it starts; None when nobody can tell."""


@dataclass(frozen=True, slots=True)
class TierQueue:
    """The jobs of one tier that wait, or would."""

    waiting: int
    held: float
    """Seconds for which one of them will hold its slot."""
    overtaken: float = 0.0
    """The share of the slots that goes to jobs of better tiers which come meanwhile."""


class Outlook:
    """When the jobs of a queue will start, in seconds from the moment of its making."""

    def __init__(self, lines: Sequence[TierQueue], free: Iterable[float]) -> None:
        """`lines` are those of the tiers, the better first; `free` says when each slot is free for the next job."""
        self._lines = lines
        self._free = list(free)
        heapify(self._free)
        self._starts: list[float] = []

    def wait(self, position: int) -> float:
        """Seconds until the job at `position`, from 1, starts."""
        while len(self._starts) < position:
            self._starts.append(self._free[0])
            heapreplace(self._free, self._free[0] + self._line(len(self._starts)).held)
        return self._starts[position - 1] / (1 - self._line(position).overtaken)

    def _line(self, position: int) -> TierQueue:
        """The one that the job at `position` waits in."""
        for line in self._lines:
            position -= line.waiting
            if position <= 0:
                break
        return line


@dataclass(frozen=True, slots=True)
class _Reading:
    """What pace.lua says."""

    now: int
    held: list[float]
    """Seconds, by tier."""
    waiting: list[int]
    running: list[tuple[int, float]]
    """The number of each one's tier, and seconds."""
    busy: list[float]
    """Seconds for which the jobs of each tier have held slots."""

    @classmethod
    def of(cls, now: int, *numbers: int) -> _Reading:
        tiers, running = numbers[: 3 * len(Tier)], numbers[3 * len(Tier) :]
        ages = [(rank - 1, age / 1000) for rank, age in zip(running[::2], running[1::2], strict=True)]
        busy = [ms / 1000 + sum(age for rank, age in ages if rank == n) for n, ms in enumerate(tiers[2::3])]
        return cls(now, [us / 1e6 for us in tiers[::3]], list(tiers[1::3]), ages, busy)

    def ends(self) -> list[float]:
        """Seconds after which each of the running jobs will have ended."""
        return [_left(self.held[rank], age) for rank, age in self.running]


class Estimator:
    """The outlooks of all models, each read from Redis at most once a second."""

    def __init__(self, tickets: Tickets) -> None:
        self._client = tickets.client
        self._script = script(tickets.client, "pace")
        self._outlooks: dict[str, tuple[float, Outlook | None]] = {}
        self._history: dict[str, deque[_Reading]] = {}

    def wait(self, model: str, position: int) -> float | None:
        """Seconds until the job at `position` starts; None when nobody can tell.

        That is when no job of the model has ended yet, when no worker serves it, and when Redis does not answer.
        """
        read, outlook = self._outlooks.get(model, (0.0, None))
        age = time.monotonic() - read
        if age > _FRESH:
            age, outlook = 0.0, self.look(model)
            self._outlooks[model] = time.monotonic(), outlook
        return None if outlook is None else max(0.0, outlook.wait(position) - age)

    def next_wait(self, model: str, before: int, running: int, slots: int) -> float | None:
        """Seconds that a request would wait which came now, behind `before` others; None when nobody can tell."""
        if slots > running and not before:
            return 0.0
        return self.wait(model, before + 1) if slots else None

    def next_place(self, model: str, most: int) -> float | None:
        """Seconds after which a client may find a place in a full queue of `most` jobs; None when nobody can tell.

        The next place is free when the next job starts. Clients are spread over the next few, or all of those who were
        refused would come again at the same moment, to be refused for the most part.
        """
        wait = self.wait(model, random.randint(1, max(1, most // _SPREAD)))
        return None if wait is None else _bounded(wait)

    def next_end(self, model: str, owner: str) -> float | None:
        """Seconds after which one of the owner's running jobs may have ended; None when nobody can tell.

        It is any one of them, for the same reason.
        """
        try:
            reading = self._read(model, owner)
        except Outage:
            return None
        return _bounded(random.choice(reading.ends())) if any(reading.held) and reading.running else None

    def look(self, model: str) -> Outlook | None:
        """The outlook at this moment; None as for `wait`."""
        try:
            reading = self._read(model)
            free = reading.ends()
            if not free:  # where workers live, their slots are just about to take the next jobs
                cards = [worker.card for worker in registry.workers(self._client) if worker.model == model]
                free = [0.0] * sum(card.slots for card in cards if card)
        except Outage:
            return None
        if not (any(reading.held) and free):
            return None
        before = self._remember(model, reading)
        lines, overtaken, slot_ms = [], 0.0, len(free) * max(_LEAST_MS, reading.now - before.now)
        for waiting, held, then, now in zip(reading.waiting, reading.held, before.busy, reading.busy, strict=True):
            lines.append(TierQueue(waiting, held, min(_MOST_OVERTAKEN, overtaken)))
            overtaken += max(0.0, now - then) * 1000 / slot_ms
        return Outlook(lines, free)

    def _read(self, model: str, *owner: str) -> _Reading:
        return _Reading.of(*self._script(keys=[], args=[model, *owner]))

    def _remember(self, model: str, reading: _Reading) -> _Reading:
        """The reading to compare this one with: of ten minutes ago, if there is one, else the first."""
        history = self._history.setdefault(model, deque())
        if history and reading.now < history[-1].now:  # the clock has jumped, or it is another Redis
            history.clear()
        if not history or reading.now - history[-1].now >= _STEP_MS:
            history.append(reading)
        while len(history) > 1 and reading.now - history[1].now >= _WINDOW_MS:
            history.popleft()
        return history[0]


def _bounded(seconds: float) -> float:
    return min(_LATEST, max(_SOONEST, seconds))


def _left(held: float, age: float) -> float:
    """How much longer a job will run, that runs since `age`. One that is overdue may run on for long."""
    return max(held - age, age / 4)
