"""The model that `bench.scaling` checks: what work costs, how long jobs wait, and how much of it one Redis carries."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from bench.machine import percentile
from worker.publish import PACK

FULL = 0.7
"""Part of a core that is counted on: above it, waits grow faster than work."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is done in a second."""

    jobs: float = 0
    tokens: float = 0
    flushes: float = 0
    """Of workers, each of which sends the tokens of all its slots at one time."""
    workers: float = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of CPU of one part: for each of `Work`, and for being there."""

    still: float
    worker: float
    job: float
    token: float
    flush: float

    def of(self, work: Work) -> float:
        """Cores."""
        done = work.jobs * self.job + work.tokens * self.token + work.flushes * self.flush
        return self.still + work.workers * self.worker + done


def flushes(tokens: float) -> float:
    """A second, of one worker of so many tokens a second that come by chance: at most one in `PACK` seconds."""
    return 1 / (PACK + math.exp(-tokens * PACK) / tokens)


def simulate(arrivals: Sequence[float], service: float, slots: int) -> tuple[float, list[float]]:
    """Jobs a second until the last one ends, and the seconds that each has waited. First come, first served."""
    free, waits = [0.0] * slots, []
    for at in arrivals:
        begun = max(at, heapq.heappop(free))
        heapq.heappush(free, begun + service)
        waits.append(begun - at)
    return len(arrivals) / (max(free) - arrivals[0]), waits


def poisson(rate: float, seconds: float) -> list[float]:
    """When clients come who know nothing of each other."""
    arrivals, at = [], random.expovariate(rate)
    while at < seconds:
        arrivals.append(at)
        at += random.expovariate(rate)
    return arrivals or [0.0]


def tell_halves(workers: int, slots: int, service: float, load: float = 0.8) -> None:
    """What is lost where one queue becomes two: the wait that one job in twenty exceeds."""
    arrivals = poisson(load * workers * slots / service, 20_000)
    halves: tuple[list[float], list[float]] = ([], [])
    for at in arrivals:
        random.choice(halves).append(at)
    whole = percentile(simulate(arrivals, service, workers * slots)[1], 95)
    apart = [wait for half in halves for wait in simulate(half, service, workers * slots // 2)[1]]
    print(f"{workers} workers at {load:g}: p95 of waits {whole:.2f} s; as two halves {percentile(apart, 95):.2f} s")


KINDS = {
    "chats, a small model: 8 streams of 10 tokens/s, 200 tokens": (8, 10.0, 200),
    "chats, a large model: 4 streams of 2 tokens/s, 200 tokens": (4, 2.0, 200),
    "many at once: 32 streams of 5 tokens/s, 200 tokens": (32, 5.0, 200),
    "one word: 8 streams of 5 answers/s": (8, 5.0, 1),
}
"""Streams of a worker, tokens a second of each, and tokens of an answer."""


def tell_room(redis: Cost, gateway: Cost) -> None:
    print(f"\nOne Redis at {FULL:.0%} of its thread carries, and gateway processes for that at {FULL:.0%} of a core:")
    print("| each worker, always busy | workers | jobs/s | tokens/s | gateway processes |\n|---|---|---|---|---|")
    for kind, (streams, rate, length) in KINDS.items():
        tokens = streams * rate
        one = Work(tokens / length, tokens, min(rate, 1 / PACK), 1)  # a batch brings forth all at one time
        each = redis.of(one) - redis.still
        served = gateway.of(one) - gateway.still - gateway.worker  # each process hears of each worker beside that
        workers = processes = 0.0
        for _ in range(20):  # a process more takes of Redis, too
            workers = max(0.0, (FULL - processes * redis.still) / each)
            room = FULL - gateway.still - workers * gateway.worker
            processes = workers * served / room if room > 0 else float("inf")
        cells = [kind, f"{workers:.0f}", f"{workers * one.jobs:.0f}", f"{workers * tokens:.0f}", f"{processes:.1f}"]
        print("| " + " | ".join(cells) + " |")
