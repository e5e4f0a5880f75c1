"""A small model of the whole system, checked against runs with 1, 2, 4 and 16 workers; what one Redis carries by it.

    python -m bench.scaling [--workers 1 2 4 16] [--seconds 8] [--slots 8] [--rate 5] [--tokens 16]

First it measures what a job, a token and a flush take of Redis's one thread and of a gateway process, with a few echo
workers. Then clients come at random, at 0.8 and at 1.2 times of what the workers can do: throughput, waits in the queue
and CPU time as measured, beside those that the model says for the same arrivals. At the end: how many workers one Redis
carries, and how many gateway processes that takes, for some kinds of work.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.capacity import Cost, Work, flushes, poisson, simulate, tell_halves, tell_room
from bench.crowd import request
from bench.machine import cpu, describe, percentile
from shared.tickets import Tickets
from tests.stack import Stack, children, stop, wait_for

PARTS = ("redis", "gateway")
LOADS = (0.8, 1.2)
CALIBRATIONS, JOBS = 3, 25
"""Runs of which the median is taken, and jobs a second that are only begun and ended."""
_JOB = re.compile(rb"\r\nlocation: [^\r]*/([\w-]+)\r\n", re.IGNORECASE)
_TEXT = b'"delta":{"content":"'


class Parts(Stack):
    """A gateway process and workers that can become more."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        super().__init__(directory, log_level="warning", retention=600, **settings)
        self.tickets = Tickets(self.redis)
        self.start_gateway(processes=1)
        (self._gateway_pid,) = children(self.gateway)

    def grow(self, count: int, **settings: Any) -> None:
        known, begun = len(self.workers()), []
        for _ in range(count - known):
            begun.append(self._inferq("worker", "echo", **settings))
        wait_for(lambda: len(self.workers()) == count, f"{count} workers", 180)

    def shrink(self) -> None:
        stop(*(child for child in self.children if child not in (self.valkey, self.gateway)))
        wait_for(lambda: not self.workers(), "the end of the workers", 60)

    def spent(self) -> dict[str, float]:
        """Seconds of CPU so far. Redis's is its one thread's that runs commands."""
        info: Any = self.redis.info("cpu")
        redis = info["used_cpu_user_main_thread"] + info["used_cpu_sys_main_thread"]
        return {"redis": redis, "gateway": cpu(self._gateway_pid)}

    def connections(self) -> int:
        info: Any = self.redis.info("clients")
        return int(info["connected_clients"])


@dataclass(slots=True)
class Seen:
    """Of a run."""

    seconds: float
    cores: dict[str, float]
    job_ids: list[str]
    tokens: int


def run(stack: Parts, arrivals: Sequence[float], tokens: int) -> Seen:
    """Streams that begin at these seconds."""

    async def ask(at: float) -> None:
        await asyncio.sleep(begun + at - time.monotonic())
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
        writer.write(asking)
        data = b""
        while b"data: [DONE]" not in data[-64:]:
            piece = await reader.read(1 << 16)
            assert piece, f"cut: {data[-300:]!r}"
            data += piece
        writer.close()
        found = _JOB.search(data)
        assert found, data[:300]
        seen.job_ids.append(found[1].decode())
        seen.tokens += data.count(_TEXT)

    async def ask_all() -> None:
        await asyncio.gather(*map(ask, arrivals))

    asking, seen = request(tokens), Seen(0, {}, [], 0)
    before, begun = stack.spent(), time.monotonic()
    asyncio.run(ask_all())
    seen.seconds = time.monotonic() - begun
    seen.cores = {part: (used - before[part]) / seen.seconds for part, used in stack.spent().items()}
    assert seen.tokens == len(arrivals) * tokens, f"{seen.tokens} tokens of {len(arrivals)} x {tokens}"
    return seen


def rest(stack: Parts, seconds: float) -> dict[str, float]:
    """Cores that are used while nothing is asked."""
    before = stack.spent()
    time.sleep(seconds)
    return {part: (used - before[part]) / seconds for part, used in stack.spent().items()}


def calibrate(stack: Parts, seconds: float) -> tuple[dict[str, Cost], float]:
    """What work costs, by part, and the seconds that a job takes beside its tokens.

    Of streams alone in their workers each token is a flush, of eight in one worker several are. The parts are busy
    meanwhile: a Redis that sleeps after each command takes more for the next one.
    """
    workers, slots, rate = 4, 8, 40.0
    count = int(rate * seconds)
    stack.grow(workers, slots=1, echo_rate=rate)
    run(stack, [0.0] * workers, 10)  # warms up
    idle = rest(stack, seconds)
    alone = [beside(stack, [0.0] * workers, count, idle) for _ in range(CALIBRATIONS)]
    stack.shrink()
    stack.grow(workers, slots=slots, echo_rate=rate / 2)
    run(stack, [0.0] * workers * slots, 10)
    packed = [beside(stack, [0.0] * workers * slots, count // 4, idle) for _ in range(CALIBRATIONS)]
    short = [number / JOBS for number in range(int(JOBS * seconds))]
    jobs = [beside(stack, short, 1, idle) for _ in range(CALIBRATIONS)]
    lasted = lasting(stack, run(stack, short, 1).job_ids)
    stack.shrink()
    part_of = flushes(slots * rate / 2) / (slots * rate / 2)
    costs = {}
    for part in PARTS:
        job = statistics.median(each[part] for each in jobs) / len(short)
        apart = (statistics.median(each[part] for each in alone) - workers * job) / (workers * count)
        together = statistics.median(each[part] for each in packed) - workers * slots * job
        together = max(0.0, together / (workers * slots * (count // 4)))
        flush = min(apart, max(0.0, (apart - together) / (1 - part_of)))
        costs[part] = Cost(still=idle[part], worker=0.0, job=job, token=max(0.0, apart - flush), flush=flush)
    return costs, statistics.median(lasted) - 2 / rate


def beside(stack: Parts, arrivals: Sequence[float], tokens: int, idle: dict[str, float]) -> dict[str, float]:
    """Seconds of CPU of such a run, beside what would have been used anyhow."""
    seen = run(stack, arrivals, tokens)
    return {part: (seen.cores[part] - idle[part]) * seen.seconds for part in PARTS}


def lasting(stack: Parts, job_ids: Sequence[str]) -> list[float]:
    """Seconds from the claims to the ends."""
    found = [stack.tickets.get(job_id) for job_id in job_ids]
    return [((ticket.ended or 0) - (ticket.started or 0)) / 1000 for ticket in found]


def main() -> None:
    parser = argparse.ArgumentParser(description="A model of the system, checked against runs")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 16])
    parser.add_argument("--seconds", type=float, default=8, help="in which clients come, of each run [8]")
    parser.add_argument("--slots", type=int, default=8, help="of each worker [8]")
    parser.add_argument("--rate", type=float, default=5, help="tokens a second of each stream [5]")
    parser.add_argument("--tokens", type=int, default=16, help="of each answer [16]")
    parser.add_argument("--seed", type=int, default=1, help="of the arrivals [1]")
    given = parser.parse_args()
    random.seed(given.seed)
    print(describe("inferq", "redis", "rq", "gunicorn", "gevent"))
    with tempfile.TemporaryDirectory() as folder:
        stack = Parts(Path(folder))
        try:
            costs = check(stack, given)
        finally:
            stack.close()
    tell_room(costs["redis"], costs["gateway"])


def check(stack: Parts, given: argparse.Namespace) -> dict[str, Cost]:
    costs, overhead = calibrate(stack, min(given.seconds, 3))
    service, idle, connected = given.tokens / given.rate + overhead, {}, {}
    most = given.slots / service
    print(f"\neach worker: {given.slots} slots, {service:.2f} s a job of {given.tokens} tokens: {most:.2f} jobs/s")
    print(
        "| workers | load | jobs | jobs/s | said | wait p50 | said | p95 | said | Redis, ms/s | said | gateway | said |"
    )
    print("|---" * 13 + "|")
    for workers in given.workers:
        stack.grow(workers, slots=given.slots, echo_rate=given.rate)
        idle[workers], connected[workers] = rest(stack, 3), stack.connections()
        costs = {part: with_workers(costs[part], part, idle) for part in PARTS}
        for load in LOADS:
            arrivals = poisson(load * workers * most, given.seconds)
            told, waits = simulate(arrivals, service, workers * given.slots)
            seen = run(stack, arrivals, given.tokens)
            rate = told * given.tokens
            work = Work(told, rate, workers * flushes(rate / workers), workers)
            print_row(stack, workers, load, seen, told, waits, {part: costs[part].of(work) for part in PARTS})
    fewest, largest = min(idle), max(idle)
    print(f"\nnothing to do: {'; '.join(f'{count} workers: ' + cores(idle[count]) for count in idle)}")
    if largest > fewest:
        each = (connected[largest] - connected[fewest]) / (largest - fewest)
        rest_of = connected[fewest] - each * fewest
        print(f"connections to Redis: {each:.1f} a worker, {rest_of:.0f} of the gateway process and this bench")
    for part, cost in costs.items():
        named = {"a job": cost.job, "a token": cost.token, "a flush": cost.flush}
        each_of = ", ".join(f"{name} {seconds * 1e6:.0f} us" for name, seconds in named.items())
        print(f"{part}: {each_of}; to be there {cost.still * 1000:.1f} ms/s, and {cost.worker * 1000:.2f} a worker")
    tell_halves(4, given.slots, service)
    return costs


def with_workers(cost: Cost, part: str, idle: dict[int, dict[str, float]]) -> Cost:
    """With what workers take that do nothing, a line through those measured so far."""
    if len(idle) < 2:
        (used,) = idle.values()
        return Cost(used[part], 0.0, cost.job, cost.token, cost.flush)
    slope, still = statistics.linear_regression(list(idle), [used[part] for used in idle.values()])
    return Cost(max(0.0, still), max(0.0, slope), cost.job, cost.token, cost.flush)


def print_row(
    stack: Parts, workers: int, load: float, seen: Seen, told: float, waits: list[float], said: dict[str, float]
) -> None:
    tickets = [stack.tickets.get(job_id) for job_id in seen.job_ids]
    waited = [((ticket.started or 0) - ticket.created) / 1000 for ticket in tickets]
    rate = len(tickets) / (max(ticket.ended or 0 for ticket in tickets) / 1000 - min(t.created for t in tickets) / 1000)
    cells = [f"{workers}", f"{load:g}", f"{len(tickets)}", f"{rate:.2f}", f"{told:.2f}"]
    for pick in (statistics.median, lambda values: percentile(values, 95)):
        cells += [f"{pick(waited):.2f} s", f"{pick(waits):.2f} s"]
    for part in PARTS:
        cells += [f"{seen.cores[part] * 1000:.0f}", f"{said[part] * 1000:.0f}"]
    print("| " + " | ".join(cells) + " |", flush=True)


def cores(used: dict[str, float]) -> str:
    return ", ".join(f"{part} {part_of * 1000:.1f} ms/s" for part, part_of in used.items())


if __name__ == "__main__":
    main()
