"""The pace of the queues: how long a job will wait, and how long it may.

A model's jobs are taken to hold a slot for as long as its last ones did on average. With how long the running ones have
been running, that tells when places in the queue come up: no clock of ours, no rate that an idle hour would falsify.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heapreplace

from shared import registry
from shared.errors import InvalidRequest
from shared.scripts import script
from shared.store import Outage
from shared.tickets import Tickets

_FRESH = 1.0
"""Seconds for which an outlook serves everybody who asks."""
_SOONEST, _LATEST = 0.5, 120.0
"""Seconds after which a refused client shall come again: the `openai` client comes no sooner by itself, and does not
come again at all when it is told to wait for longer."""
_SPREAD = 10
"""Refused clients come again within the time in which this part of the queue is served: one in so many."""

HEADER = "x-request-timeout"
MAX_PATIENCE = 86_400.0
"""Seconds that a client may have its job wait."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A waiting job's turn."""

    position: int
    """Its place in the queue, from 1."""
    wait: float | None
    """Seconds until it starts; None when nobody can tell."""


class Outlook:
    """When the jobs of a queue will start, in seconds from the moment of its making."""

    def __init__(self, held: float, free: Iterable[float]) -> None:
        """`held` is how long a job holds its slot, `free` when each of the slots will be free for the next one."""
        self._held = held
        self._free = list(free)
        heapify(self._free)
        self._starts: list[float] = []

    def wait(self, position: int) -> float:
        """Seconds until the job at `position`, from 1, starts."""
        while len(self._starts) < position:
            self._starts.append(self._free[0])
            heapreplace(self._free, self._free[0] + self._held)
        return self._starts[position - 1]


class Pace:
    """The outlooks of all models, each read from Redis at most once a second."""

    def __init__(self, tickets: Tickets) -> None:
        self._client = tickets.client
        self._script = script(tickets.client, "pace")
        self._outlooks: dict[str, tuple[float, Outlook | None]] = {}

    def wait(self, model: str, position: int) -> float | None:
        """Seconds until the job at `position` starts; None when nobody can tell.

        That is when no job of the model has ended yet, when no worker serves it, and when Redis does not answer.
        """
        read, outlook = self._outlooks.get(model, (0.0, None))
        age = time.monotonic() - read
        if age > _FRESH:
            age, outlook = 0.0, self._read(model)
            self._outlooks[model] = time.monotonic(), outlook
        return None if outlook is None else max(0.0, outlook.wait(position) - age)

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
            held_us, *ages = self._script(keys=[], args=[model, owner])
        except Outage:
            return None
        return _bounded(_left(held_us / 1e6, random.choice(ages) / 1000)) if held_us and ages else None

    def _read(self, model: str) -> Outlook | None:
        try:
            held_us, *ages = self._script(keys=[], args=[model])
            held = held_us / 1e6
            free = [_left(held, age / 1000) for age in ages]
            if not free:  # where workers live, their slots are just about to take the next jobs
                cards = [worker.card for worker in registry.workers(self._client) if worker.model == model]
                free = [0.0] * sum(card.slots for card in cards if card)
        except Outage:
            return None
        return Outlook(held, free) if held and free else None


def _bounded(seconds: float) -> float:
    return min(_LATEST, max(_SOONEST, seconds))


def _left(held: float, age: float) -> float:
    """How much longer a job will run, that runs since `age`. One that is overdue may run on for long."""
    return max(held - age, age / 4)


def patience(text: str | None, usual: float) -> float:
    """Seconds that a job may wait in the queue, by its request's `HEADER`. Raises InvalidRequest."""
    if text is None:
        return usual
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_PATIENCE:
        raise InvalidRequest(
            f"{HEADER}: expected the seconds that the job may wait in the queue, more than 0 and at most"
            f" {MAX_PATIENCE:g}, but got {text[:64]!r}.",
            param=HEADER,
        )
    return seconds
