"""A long prompt beside a stream that runs: the worst gap that it makes, and how soon its own cancel is through.

python -m bench.prefill [--short] [--runs N]
"""

from __future__ import annotations

import argparse
import http.client
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.chats import Side, long_prompt, over_tcp, short_prompt
from bench.machine import describe, spread
from tests.stack import Stack, running, wait_for

_LEAD = 20
"""Chunks that a stream has sent when the other prompt comes."""


def main() -> None:
    parser = argparse.ArgumentParser(description="a long prompt beside a stream")
    parser.add_argument("--runs", type=int, default=10, help="of each measure [10]")
    parser.add_argument("--short", action="store_true", help="5 runs")
    given = parser.parse_args()
    runs = 5 if given.short else given.runs
    print(describe("inferq", "xllamacpp", "redis", "rq", "gunicorn"))
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="warning") as stack:
        stack.start_gateway(processes=1)
        stack.start_worker("smollm2", slots=8)
        side = replace(over_tcp("inferq", stack.port), headers={"x-inferq-progress": "1"})
        gaps = [worst_gap(side, side) for _ in range(runs + 1)][1:]
        print(f"worst gap in a running stream while 1,500 tokens of another come in: {spread(gaps, ' ms', 0)}")
        cancels = [cancel_in_prefill(stack, side) for _ in range(runs)]
        print(f"close in the prefill of 1,500 tokens to the cancel in Redis: {spread(cancels, ' ms', 0)}")


def worst_gap(side: Side, other: Side, tokens: int = 400) -> float:
    """Milliseconds between two chunks of a stream, at worst, while a long prompt of another request is read."""
    connection, answer = side.ask(short_prompt(), tokens, stream=True)
    times: list[float] = []
    late: tuple[http.client.HTTPConnection, http.client.HTTPResponse] | None = None
    for line in answer:
        if line.startswith(b"data: {"):
            times.append(time.perf_counter())
        if len(times) == _LEAD and late is None:
            late = other.ask(long_prompt(), 1, stream=True)
    connection.close()
    assert late is not None
    late[1].read()
    late[0].close()
    return max(b - a for a, b in pairwise(times[_LEAD:])) * 1000


def cancel_in_prefill(stack: Stack, side: Side) -> float:
    """Milliseconds from the close of a client's connection to the end of its job, whose prompt was being read."""
    connection, answer = side.ask(long_prompt(), 1, stream=True)
    job = str(answer.headers["Location"]).rpartition("/")[2]
    while not (line := answer.readline()).startswith(b": prompt"):
        assert line, "the answer ended before its prompt was read"
    closed = time.time()
    answer.close()
    connection.close()
    wait_for(lambda: stack.state(job) == "cancelled", "the cancel")
    ended: Any = stack.redis.hget(f"iq:job:{job}", "ended")
    return int(ended) - closed * 1000


if __name__ == "__main__":
    main()
