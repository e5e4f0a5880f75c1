"""A lone request, beside a bare Flask application that streams the same bytes with no queue behind it.

    python -m bench.lone [--requests 200] [--runs 5]

One after the other, of one token each, on new connections and on one that is kept alive. Prints the time to the first
token, the CPU time of each part a request, and how many commands Redis was sent.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.machine import cpu, describe, spread
from bench.streams import Side, floor, inferq
from tests.stack import Stack, running

BODY = {"model": "echo", "messages": [{"role": "user", "content": "one"}], "stream": True}
HEADERS = {"Content-Type": "application/json"}


def ask(port: int, requests: int, *, kept: bool) -> list[float]:
    """Milliseconds from each request to its first token; from the connection on where that is new."""
    connection, times = http.client.HTTPConnection("127.0.0.1", port, timeout=60), []
    for _ in range(requests):
        begun = time.perf_counter()
        connection.request("POST", "/v1/chat/completions", json.dumps(BODY), HEADERS)
        answer = connection.getresponse()
        while b'"content":"one"' not in (line := answer.readline()):
            assert line, "the answer ended without its token"
        times.append((time.perf_counter() - begun) * 1000)
        answer.read()
        if not kept:
            connection.close()
    connection.close()
    return times


def measure(side: Side, requests: int, *, kept: bool) -> None:
    parts = side.pids()
    before = {part: sum(map(cpu, pids)) for part, pids in parts.items()}
    side.firsts.append(statistics.median(ask(side.port, requests, kept=kept)))
    side.costs.append({part: (sum(map(cpu, pids)) - before[part]) / requests * 1e6 for part, pids in parts.items()})


def commands(stack: Stack, requests: int = 50) -> float:
    """Round trips to Redis of one request, of all parts; those of the loops while it lasts are among them."""

    def calls() -> int:
        told: Any = stack.redis.info("commandstats")
        inside = ("evalsha", "xread", "blmpop", "lmove", "ping")
        return sum(told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in inside)

    before = calls()
    ask(stack.port, requests, kept=True)
    return (calls() - before) / requests


def main() -> None:
    parser = argparse.ArgumentParser(description="A lone request, beside a bare Flask application")
    parser.add_argument("--requests", type=int, default=200, help="of each run [200]")
    parser.add_argument("--runs", type=int, default=5, help="of each side [5]")
    given = parser.parse_args()
    print(describe("inferq", "redis", "flask", "gunicorn", "gevent"))
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), log_level="warning") as stack,
        inferq(stack, 8, 1) as ours,
        floor(1, 0) as theirs,
    ):
        for kept in (False, True):
            for side in (theirs, ours):
                ask(side.port, 50, kept=kept)  # warms up
                side.firsts.clear()
                side.costs.clear()
            for _ in range(given.runs):
                for side in (theirs, ours):
                    measure(side, given.requests, kept=kept)
            how = "one kept alive" if kept else "new connections"
            print(f"\n{given.runs} runs of {given.requests} requests in turns, on {how}:")
            for side in (theirs, ours):
                parts = ", ".join(
                    f"{part} {spread([cost[part] for cost in side.costs], ' us', 0)}" for part in side.costs[0]
                )
                print(f"  {side.name:7} first token p50 {spread(side.firsts, ' ms')}; CPU a request: {parts}")
            ratios = [b / a for a, b in zip(theirs.firsts, ours.firsts, strict=True)]
            print(f"  first token {spread(ratios)} of the floor's")
        print(f"\ncommands to Redis of a request: {commands(stack):.1f}")


if __name__ == "__main__":
    main()
