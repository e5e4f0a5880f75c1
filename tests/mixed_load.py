"""A recorded mixed load, and the schedule that the real scripts make of it on a clock of its own.

The record is drawn from a seed: three people who chat, one of them in a hurry, a tool that asks in bursts, and a
night's work of long answers, handed in at once. Answers are as long as answers are: log-normal, so that a few hold a
slot for many times as long as most.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.estimate import Estimator
from shared import scripts
from shared.protocol import Accepted, Completion, Done, Sampling, Usage
from shared.ticket import Answer, Claim, Standing, Tier
from shared.tickets import Tickets
from tests.transitions import append

SLOTS = 4
CLOCK = "clock"
"""The key with the time: its seconds `s` and microseconds `us`."""
_MODEL = "m"
_EPOCH = 1_700_000_000_000
_LOOK = 10_000
"""Milliseconds between two looks at what those who wait are told."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job of the record. Times are in milliseconds."""

    at: int
    owner: str
    tier: Tier
    held: int
    """How long it holds a slot."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a waiting job was told, and what came true. In milliseconds."""

    tier: Tier
    at: int
    wait: float
    truth: int


def record(seed: int) -> list[Arrival]:
    """Forty minutes of arrivals."""
    draw = random.Random(seed)
    jobs: list[Arrival] = []

    def add(at: float, owner: str, tier: Tier, median: float, spread: float) -> None:
        jobs.append(Arrival(int(at * 1000), owner, tier, max(50, int(1000 * draw.lognormvariate(0, spread) * median))))

    for owner, tier, every in (
        ("ann", Tier.DEFAULT, 12),
        ("bob", Tier.DEFAULT, 20),
        ("eve", Tier.PRIORITY, 45),
    ):
        at = draw.expovariate(1 / every)
        while at < 2400:
            add(at, owner, tier, median=6, spread=0.8)
            at += draw.expovariate(1 / every)
    at = draw.expovariate(1 / 100)
    while at < 2400:
        for _ in range(draw.randint(5, 20)):
            add(at, "tool", Tier.DEFAULT, median=5, spread=0.6)
        at += draw.expovariate(1 / 100)
    for at in (60, 1200):
        for _ in range(80):
            add(at, "night", Tier.FLEX, median=12, spread=0.6)
    return sorted(jobs, key=lambda job: job.at)


_text = scripts.text


def on_a_clock(name: str) -> str:
    """The source of a script whose time is that of `CLOCK`, instead of `shared.scripts.text`."""
    return _text(name).replace("redis.call('TIME')", f"redis.call('HMGET', '{CLOCK}', 's', 'us')")


@dataclass(slots=True)
class Replay:
    """A record played to the scripts."""

    tickets: Tickets
    arrivals: list[Arrival]
    told: list[Told] = field(default_factory=list)
    now: int = 0
    preemptions: int = 0
    _left: dict[str, int] = field(default_factory=dict)
    _running: dict[str, tuple[int, str, int]] = field(default_factory=dict)
    """When it ends, its execution, when that began."""
    _asked: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    _executions: int = 0
    _estimator: Estimator = field(init=False)

    def __post_init__(self) -> None:
        self._estimator = Estimator(self.tickets)

    def play(self) -> None:
        for at in self._moments():
            self.now = at
            self._set_clock()
            self._end()
            self._hand_back()
            self._start()
            if at % _LOOK == 0:
                self._ask()

    def _moments(self) -> Iterator[int]:
        coming = list(enumerate(self.arrivals))[::-1]
        look = 0
        while coming or self._running or self._asked:
            ends = min((end for end, _, _ in self._running.values()), default=1 << 60)
            at = min(look, ends, coming[-1][1].at if coming else 1 << 60)
            self.now = at
            self._set_clock()
            while coming and coming[-1][1].at <= at:
                number, arrival = coming.pop()
                self._submit(f"j{number}", arrival)
            if at == look:
                look += _LOOK
            yield at

    def _set_clock(self) -> None:
        now = _EPOCH + self.now
        self.tickets.client.hset(CLOCK, mapping={"s": now // 1000, "us": now % 1000 * 1000})

    def _submit(self, job_id: str, arrival: Arrival) -> None:
        accepted = Accepted(Completion(_MODEL, ("once",), Sampling(seed=7)), 1, arrival.owner)
        self.tickets.submit(
            job_id, accepted, reply="", max_queue=10_000, wait=86_400, keep=1, standing=Standing(arrival.tier)
        )
        self._left[job_id] = arrival.held
        self._asked[job_id] = []

    def _start(self) -> None:
        while len(self._running) < SLOTS:
            permit: Any = self.tickets.client.lpop(f"rq:queue:{_MODEL}")
            self._executions += 1
            execution = f"x{self._executions}"
            claim = self.tickets.claim(_MODEL, (permit or b"").decode(), execution, lease_ms=10**9, worker="w")
            if not isinstance(claim, Claim):
                return
            job_id = claim.job_id
            self._running[job_id] = self.now + self._left[job_id], execution, self.now
            tier = self._arrival(job_id).tier
            self.told += [Told(tier, at, wait, self.now - at) for at, wait in self._asked.pop(job_id)]

    def _arrival(self, job_id: str) -> Arrival:
        return self.arrivals[int(job_id[1:])]

    def _end(self) -> None:
        for job_id in [job_id for job_id, (end, _, _) in self._running.items() if end <= self.now]:
            _, execution, _ = self._running.pop(job_id)
            append(self.tickets, job_id, execution, 1, Done(Usage(1, 1)), model=_MODEL)

    def _hand_back(self) -> None:
        pairs = [(job_id, execution) for job_id, (_, execution, _) in self._running.items()]
        for (job_id, execution), answer in zip(pairs, self.tickets.renew(_MODEL, 10**9, pairs), strict=True):
            if answer is Answer.PREEMPTED:
                self.preemptions += 1
                _, _, began = self._running.pop(job_id)
                self._left[job_id] = max(1, self._left[job_id] - (self.now - began))
                self._asked[job_id] = []
                self.tickets.release(_MODEL, [(job_id, execution)])

    def _ask(self) -> None:
        outlook = self._estimator.look(_MODEL)
        if outlook is None:
            return
        for job_id, asked in self._asked.items():
            position = self.tickets.position(job_id)
            if position:
                asked.append((self.now, outlook.wait(position) * 1000))
