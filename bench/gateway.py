"""What the gateway, Redis and the worker add, measured with the echo engine, which computes nothing.

    python -m bench.gateway

Prints: time to first token alone; one-token jobs drained by one worker; close of a client's connection to the cancel.
"""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.machine import describe, percentile, spread
from shared.protocol import Accepted, Completion, Sampling
from shared.store import connect
from shared.tickets import Tickets
from tests.stack import Stack, running, wait_for

RUNS = 5
BODY = {"model": "echo", "messages": [{"role": "user", "content": "one two three"}], "stream": True}


def main() -> None:
    print(describe("inferq", "redis", "rq", "gunicorn", "gevent"))
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="warning") as stack:
        stack.start_gateway(processes=1)
        worker = stack.start_worker(slots=8)
        first_token(stack, 300)
        figures = [first_token(stack, 400) for _ in range(RUNS)]
        p50 = spread([statistics.median(times) for times in figures], " ms")
        p99 = spread([percentile(times, 99) for times in figures], " ms")
        print(f"time to first token, alone, {RUNS} x 400 streams: p50 {p50}, p99 {p99}")

        worker.terminate()
        worker.wait(20)
        rates = [drained(stack, 4000) for _ in range(RUNS)]
        print(f"one-token jobs drained by one worker of 8 slots, {RUNS} x 4000: {spread(rates, '/s', 0)}")

        stack.start_worker(slots=8, echo_rate=20)
        times = [close_to_cancel(stack) for _ in range(100)]
        middle, late = statistics.median(times), percentile(times, 99)
        print(f"client's close to the cancel in Redis, 100 streams: p50 {middle:.1f} ms, p99 {late:.1f} ms")


def first_token(stack: Stack, count: int) -> list[float]:
    """Milliseconds from the request to the first text, over one connection that stays open."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
    payload, headers = json.dumps(BODY), {"Content-Type": "application/json"}
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        connection.request("POST", "/v1/chat/completions", payload, headers)
        answer = connection.getresponse()
        while b'"one"' not in (line := answer.readline()):
            assert line, "the answer ended without its token"
        times.append((time.perf_counter() - begun) * 1000)
        answer.read()
    connection.close()
    return times


def drained(stack: Stack, count: int) -> float:
    """Jobs a second, from the first claim to the last end, of a queue that was full before the worker came."""
    client = connect(stack.settings["redis_url"])
    tickets = Tickets(client)
    ids = [f"cmpl-{time.monotonic_ns()}-{i}" for i in range(count)]
    for job_id in ids:
        accepted = Accepted(Completion("echo", ("one",), Sampling(seed=1)), int(time.time()))
        tickets.submit(job_id, accepted, reply="", max_queue=10**6, wait=600, keep=60)
    worker = stack.start_worker(slots=8)
    wait_for(lambda: stack.state(ids[-1]) == "completed", "the last job", 60)
    wait_for(lambda: all(tickets.get(job_id).state.final for job_id in ids[-16:]), "the end", 60)
    found = [tickets.get(job_id) for job_id in ids]
    seconds = (max(t.ended or 0 for t in found) - min(t.started or 0 for t in found)) / 1000
    worker.terminate()
    worker.wait(20)
    client.close()
    return count / seconds


def close_to_cancel(stack: Stack) -> float:
    """Milliseconds from the close of a streaming client's connection to the job's end in Redis."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)
    body = {**BODY, "messages": [{"role": "user", "content": "word " * 100}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    job_id = str(answer.headers["Location"]).rpartition("/")[2]
    answer.readline()
    # The clock of the ticket is the server's, which is this machine's.
    closed = time.time()
    answer.close()
    connection.close()
    wait_for(lambda: stack.state(job_id) == "cancelled", "the cancel")
    ended: Any = stack.redis.hget(f"iq:job:{job_id}", "ended")
    return max(0.0, int(ended) - closed * 1000)


if __name__ == "__main__":
    main()
