"""SmolLM2 through inferq, against llama.cpp's own HTTP server on the same file, in one run.

    python -m bench.model [--runs N]

Both sides: the same file, threads, n_batch, slots and sampling, streamed chats, 1 and 8 at once, in turns. The other
side is the same engine host, asked without inferq between. Prints tokens a second, time to first token, and the
ratio pair by pair.
"""

from __future__ import annotations

import argparse
import http.client
import json
import secrets
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.machine import cpu, describe, spread
from inferq import pull
from shared import catalogue
from shared.config import Config
from shared.cores import usable
from tests.stack import Stack, children, running, wait_for
from worker.engines.child import SOCKET
from worker.engines.host import EngineHost

SLOTS, TOKENS, MODEL = 8, 128, "smollm2"
PLAIN = {
    "batch": Config().step,
    "exact": False,
    "attention": "",
    "kv_cache": "",
    "speculation": "",
    "lora": [],
    "draft": "",
    "rope_freq_base": 0.0,
    "rope_freq_scale": 0.0,
    "chat_template": "",
}
"""A model as it is, in the terms of the engine host."""
SAMPLING = {
    "temperature": 1,
    "top_p": 1,
    "top_k": 0,
    "min_p": 0,
    "repeat_penalty": 1,
    "ignore_eos": True,
    "max_tokens": TOKENS,
}

Connect = Callable[[], http.client.HTTPConnection]


def main() -> None:
    parser = argparse.ArgumentParser(description="inferq against llama.cpp's own server")
    parser.add_argument("--runs", type=int, default=5, help="runs of each side and number of streams [5]")
    runs = parser.parse_args().runs
    path = pull.provide(catalogue.resolve(MODEL)).path
    assert path is not None
    key = secrets.token_urlsafe()
    threads = {"threads": max(1, usable() - 1), "batch_threads": usable()}
    parameters = {"path": str(path), "reads": [str(path)], "key": key, "context": 0, "slots": SLOTS, **threads, **PLAIN}
    print(describe("inferq", "xllamacpp", "redis", "rq", "gunicorn"))
    print(f"{path.name}, {threads}, n_batch 128, {SLOTS} slots, {TOKENS} tokens an answer, {runs} runs in turns")
    host = EngineHost("worker.engines.llama_cpp_host", MODEL, parameters)
    try:
        with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="warning") as stack:
            stack.start_gateway(processes=1)
            stack.start_worker(MODEL, slots=SLOTS, as_is=1)
            sides: dict[str, tuple[Connect, dict[str, str]]] = {
                "inferq": (lambda: http.client.HTTPConnection("127.0.0.1", stack.port), {}),
                "llama.cpp": (lambda: UnixConnection(host.directory / SOCKET), {"Authorization": f"Bearer {key}"}),
            }
            for streams in (1, 8):
                before = spent(stack)
                compare(sides, streams, runs)
                tokens = streams * TOKENS * (runs + 1)
                costs = {name: (seconds - before[name]) / tokens * 1e6 for name, seconds in spent(stack).items()}
                print(
                    f"{streams} streams, CPU a token:", ", ".join(f"{name} {us:.0f} us" for name, us in costs.items())
                )
            gaps = [worst_gap(stack) for _ in range(runs)]
            print(f"worst gap in a running stream while 1,500 tokens of another come in: {spread(gaps, ' ms', 0)}")
            cancels = [cancel_in_prefill(stack) for _ in range(runs)]
            print(f"close in the prefill of 1,500 tokens to the cancel in Redis: {spread(cancels, ' ms', 0)}")
    finally:
        host.close()


def compare(sides: dict[str, tuple[Connect, dict[str, str]]], streams: int, runs: int) -> None:
    speeds: dict[str, list[float]] = {side: [] for side in sides}
    waits: dict[str, list[float]] = {side: [] for side in sides}
    for run in range(runs + 1):
        for side, (connect, headers) in sides.items():
            speed, wait = measure(connect, headers, streams)
            if run:  # the first warms up
                speeds[side].append(speed)
                waits[side].append(wait)
    for side in sides:
        speeds_seen, waits_seen = spread(speeds[side], " tokens/s", 1), spread(waits[side], " ms", 1)
        print(f"{streams} streams, {side:9}: {speeds_seen}, first token after {waits_seen}")
    ratios = [a / b for a, b in zip(speeds["inferq"], speeds["llama.cpp"], strict=True)]
    later = [a - b for a, b in zip(waits["inferq"], waits["llama.cpp"], strict=True)]
    print(f"{streams} streams, inferq / llama.cpp: {spread(ratios)}; first token later by {spread(later, ' ms', 1)}")


def measure(connect: Connect, headers: dict[str, str], streams: int) -> tuple[float, float]:
    """Tokens a second of all streams together, and the median time to first token in milliseconds."""
    with ThreadPoolExecutor(streams) as pool:
        begun = time.perf_counter()
        waits = list(pool.map(lambda _: stream(connect(), headers), range(streams)))
        seconds = time.perf_counter() - begun
    return streams * TOKENS / seconds, statistics.median(waits)


def stream(connection: http.client.HTTPConnection, headers: dict[str, str]) -> float:
    """Read one streamed chat to its end; milliseconds to its first text. Each prompt is new to the cache."""
    content = f"{secrets.token_hex(8)}. Tell me a long story about a lighthouse and the sea."
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}], "stream": True, **SAMPLING}
    begun = time.perf_counter()
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json", **headers}
    )
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    wait, finish = 0.0, None
    for line in answer:
        if not line.startswith(b"data: {"):
            continue
        choice: dict[str, Any] = (json.loads(line[6:])["choices"] or [{}])[0]
        if not wait and choice.get("delta", {}).get("content"):
            wait = (time.perf_counter() - begun) * 1000
        finish = choice.get("finish_reason") or finish
    connection.close()
    assert finish == "length", finish
    return wait


def long_prompt() -> str:
    """About 1,500 tokens, new to the cache."""
    return f"{secrets.token_hex(8)}. " + "The sea was calm and the boat was slow. " * 150


def ask(stack: Stack, content: str, tokens: int) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port)
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}], "stream": True, **SAMPLING}
    body["max_tokens"] = tokens
    headers = {"Content-Type": "application/json", "x-inferq-progress": "1"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    return connection, connection.getresponse()


def worst_gap(stack: Stack) -> float:
    """Milliseconds between two chunks of a stream, at worst, while a long prompt of another request is read."""
    connection, answer = ask(stack, "Tell me a long story.", 400)
    times: list[float] = []
    other: tuple[http.client.HTTPConnection, http.client.HTTPResponse] | None = None
    for line in answer:
        if line.startswith(b"data: {"):
            times.append(time.perf_counter())
        if len(times) == 20 and other is None:
            other = ask(stack, long_prompt(), 1)
    connection.close()
    assert other is not None
    other[1].read()
    other[0].close()
    return max(b - a for a, b in pairwise(times[20:])) * 1000


def cancel_in_prefill(stack: Stack) -> float:
    """Milliseconds from the close of a client's connection to the end of its job, whose prompt was being read."""
    connection, answer = ask(stack, long_prompt(), 1)
    job = str(answer.headers["Location"]).rpartition("/")[2]
    while not answer.readline().startswith(b": prompt"):
        pass
    closed = time.time()
    answer.close()
    connection.close()
    wait_for(lambda: stack.state(job) == "cancelled", "the cancel")
    ended: Any = stack.redis.hget(f"iq:job:{job}", "ended")
    return int(ended) - closed * 1000


def spent(stack: Stack) -> dict[str, float]:
    """Seconds of CPU that each of inferq's processes has used, the engine's own aside."""
    (gateway,) = children(stack.gateway)
    pids = {"gateway": gateway, "worker": stack.worker.pid, "valkey": stack.valkey.pid}
    return {name: cpu(pid) for name, pid in pids.items()}


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


if __name__ == "__main__":
    main()
