"""Many streams at once through one gateway, beside a bare Flask application that streams the same bytes.

    python -m bench.streams [--streams 100 1000] [--rate 10] [--tokens 100] [--processes 1] [--runs 5]

The echo engine computes nothing. The floor (`bench/floor.py`) has the same gunicorn and gevent, and no queue. The
clients are one process for both sides, which run in turns. Prints the time to the first token, the CPU time of the
gateway a token, and how many tokens were lost.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import cpu, describe, percentile, spread
from gateway.server import MOST_CONNECTIONS
from shared.config import MOST_SLOTS
from tests.stack import Stack, children, free_port, running, wait_for


@dataclass
class Side:
    name: str
    port: int
    pids: Callable[[], dict[str, list[int]]]
    firsts: list[float] = field(default_factory=list)
    """Milliseconds to the first token, the median of each run."""
    late: list[float] = field(default_factory=list)
    costs: list[dict[str, float]] = field(default_factory=list)
    """Microseconds of CPU a token, by part."""
    lost: int = 0

    def measure(self, streams: int, tokens: int, begin: float, pause: float) -> None:
        """`begin`: seconds over which the streams begin; `pause`: those that an answer's first token is made in."""
        pids = self.pids()
        before = {part: sum(map(cpu, each)) for part, each in pids.items()}
        command = [sys.executable, "-m", "bench.crowd", *map(str, (self.port, streams, tokens, begin))]
        seen = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        spent = {part: sum(map(cpu, each)) - before[part] for part, each in pids.items()}
        firsts = [took - pause * 1000 for took in seen["first"]]
        self.firsts.append(statistics.median(firsts))
        self.late.append(percentile(firsts, 95))
        self.costs.append({part: seconds / (streams * tokens) * 1e6 for part, seconds in spent.items()})
        self.lost += streams * tokens - seen["tokens"]


@contextmanager
def floor(processes: int, rate: float) -> Iterator[Side]:
    port = free_port()
    command = ["gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", str(processes), "--worker-class", "gevent"]
    command += ["--worker-connections", str(MOST_CONNECTIONS), "--log-level", "warning", "--no-control-socket"]
    server = subprocess.Popen([sys.executable, "-m", *command, f"bench.floor:create_app({rate})"])
    try:
        wait_for(lambda: len(children(server)) == processes, "the floor", 30)
        yield Side("floor", port, lambda: {"gateway": sorted(children(server))})
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def inferq(stack: Stack, streams: int, processes: int) -> Iterator[Side]:
    stack.start_gateway(processes=processes)
    count = math.ceil(streams / MOST_SLOTS)
    workers = [stack.start_worker(slots=math.ceil(streams / count)) for _ in range(count)]

    def pids() -> dict[str, list[int]]:
        parts = {"workers": [worker.pid for worker in workers], "valkey": [stack.valkey.pid]}
        return {"gateway": sorted(children(stack.gateway)), **parts}

    yield Side("inferq", stack.port, pids)


def main() -> None:
    parser = argparse.ArgumentParser(description="Many streams at once, beside a bare Flask application")
    parser.add_argument("--streams", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--rate", type=float, default=10, help="tokens a second of each [10]")
    parser.add_argument("--tokens", type=int, default=100, help="of each stream [100]")
    parser.add_argument("--processes", type=int, default=1, help="of the gateway [1]")
    parser.add_argument("--runs", type=int, default=5, help="of each side [5]")
    parser.add_argument("--begin", type=float, default=2, help="seconds over which the streams begin [2]")
    given = parser.parse_args()
    print(describe("inferq", "redis", "flask", "gunicorn", "gevent"))
    for streams in given.streams:
        with (
            tempfile.TemporaryDirectory() as folder,
            running(Path(folder), echo_rate=given.rate, log_level="warning") as stack,
            inferq(stack, streams, given.processes) as ours,
            floor(given.processes, given.rate) as theirs,
        ):
            print(f"\n{streams} streams of {given.tokens} tokens, {given.rate:g} a second, {given.runs} runs in turns:")
            for _ in range(given.runs):
                for side in (theirs, ours):
                    side.measure(streams, given.tokens, given.begin, 1 / given.rate)
            tell(theirs, ours)


def tell(theirs: Side, ours: Side) -> None:
    for side in (theirs, ours):
        parts = ", ".join(f"{part} {spread([cost[part] for cost in side.costs], ' us', 0)}" for part in side.costs[0])
        print(f"  {side.name:7} first token p50 {spread(side.firsts, ' ms', 1)}, p95 {spread(side.late, ' ms', 1)};")
        print(f"  {'':7} CPU a token: {parts}; {side.lost} tokens lost")
    firsts = [b / a for a, b in zip(theirs.firsts, ours.firsts, strict=True)]
    costs = [b["gateway"] / a["gateway"] for a, b in zip(theirs.costs, ours.costs, strict=True)]
    print(f"  first token {spread(firsts)} of the floor's; gateway's CPU a token {spread(costs)} of the floor's")


if __name__ == "__main__":
    main()
