"""What open streams cost: from 10 to 5,000 at one token a second each, through two gateway processes.

    python -m bench.open_streams [--streams 10 100 500 1000 2000 5000] [--rate 1] [--tokens 12]
        [--processes 2] [--json FILE]

The echo engine computes nothing. Prints of each number of streams, once all have begun, the CPU time that each part
takes in a second and for a token, the memory that a gateway holds for a stream, and how many tokens were lost.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.figure import Figure, add_json, keep
from bench.machine import cpu, describe
from shared import footprint
from shared.config import MOST_SLOTS
from tests.stack import Stack, children, running, wait_for

BEGUN_A_SECOND = 200
"""Streams: what these clients, and two cores, can begin."""


@dataclass
class Row:
    streams: int
    tokens_a_second: float
    """Of all of them, as they came."""
    spent: dict[str, float]
    """Seconds of CPU a second, by part."""
    held: float
    """Bytes of a gateway process's memory for a stream."""
    lost: int

    def __str__(self) -> str:
        parts = " | ".join(f"{100 * seconds:.0f} %" for seconds in self.spent.values())
        each = self.spent["gateway"] / self.tokens_a_second * 1e6
        return f"| {self.streams:,} | {parts} | {each:.0f} us | {self.held / 1000:.0f} kB | {self.lost} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="what open streams cost, from few to many")
    parser.add_argument("--streams", type=int, nargs="+", default=[10, 100, 500, 1000, 2000, 5000])
    parser.add_argument("--rate", type=float, default=1, help="tokens a second of each [1]")
    parser.add_argument("--tokens", type=int, default=12, help="of each stream, after all have begun [12]")
    parser.add_argument("--processes", type=int, default=2, help="of the gateway [2]")
    add_json(parser)
    given = parser.parse_args()
    title = f"What open streams of {given.rate:g} tokens a second take"
    figure = Figure("open-streams", title, "open streams", "% of a core", "gateway", less=True, line=True)
    print(describe("inferq", "redis", "flask", "gunicorn", "gevent"))
    count = math.ceil(max(given.streams) / MOST_SLOTS)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="warning", lease=30) as stack:
        stack.settings |= {"echo_rate": given.rate, "max_queue": max(given.streams)}
        stack.start_gateway(processes=given.processes)
        with ThreadPoolExecutor(count) as starts:
            workers = [each.pid for each in starts.map(lambda _: stack.start_worker(slots=MOST_SLOTS), range(count))]
        wait_for(lambda: len(stack.workers()) == count, "all workers", 120)
        pids = {"gateway": sorted(children(stack.gateway)), "workers": workers, "valkey": [stack.valkey.pid]}
        print(
            f"\n{count} workers of {MOST_SLOTS} slots, {given.processes} gateway processes, {given.rate:g} a second:\n"
        )
        print("| streams | gateway | workers | Valkey | clients | gateway, a token | gateway, a stream | lost |")
        print("|---|---|---|---|---|---|---|---|")
        for streams in given.streams:
            row = measure(stack, pids, streams, given.rate, given.tokens)
            print(row, flush=True)
            for part, seconds in row.spent.items():
                figure.add(part, str(streams), 100 * seconds)
    keep(given, [figure], "inferq", "redis", "flask", "gunicorn", "gevent")


def measure(stack: Stack, pids: dict[str, list[int]], streams: int, rate: float, tokens: int) -> Row:
    """`tokens` come of each stream after the last one has begun."""
    begin = streams / BEGUN_A_SECOND
    each = tokens + math.ceil(begin * rate)
    held = sum(map(footprint.resident, pids["gateway"]))
    command = [sys.executable, "-m", "bench.crowd", *map(str, (stack.port, streams, each, begin))]
    crowd = subprocess.Popen(command, stdout=subprocess.PIPE)
    parts = {**pids, "clients": [crowd.pid]}
    time.sleep(begin + 2 / rate)
    before, since = {part: sum(map(cpu, of)) for part, of in parts.items()}, time.monotonic()
    time.sleep((tokens - 4) / rate)
    took = time.monotonic() - since
    spent = {part: (sum(map(cpu, of)) - before[part]) / took for part, of in parts.items()}
    held = sum(map(footprint.resident, pids["gateway"])) - held
    told, _ = crowd.communicate()
    return Row(streams, streams * rate, spent, held / streams, streams * each - json.loads(told)["tokens"])


if __name__ == "__main__":
    main()
