"""Vectors of `minilm` through inferq, against llama.cpp's own HTTP server on the same file, in one run.

    python -m bench.embeddings [--runs N]

Both sides: the same file, and threads that leave their cores while they wait, without which llama.cpp's are many times
slower where the machine has other work; the server has batches of 512 tokens and 8 slots. Texts of about 12 and 80
words, one and 32 a request, 1 and 8 clients, in turns.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.machine import describe, spread
from inferq import pull
from shared import catalogue
from shared.cores import usable
from tests.stack import free_port, running, wait_for

MODEL, SLOTS = "minilm", 8
SENTENCE = "the sea was calm and a boat slow light house keeper read old letters of her brother in winter"
SIZES = {"short": 12, "long": 80}
SHAPES = ((1, 1), (1, 32), (8, 1), (8, 32))
"""Clients, and texts of each of their requests."""
_SERVER = """
import signal, sys, xllamacpp
path, port, slots, threads = sys.argv[1], *map(int, sys.argv[2:])
options = xllamacpp.CommonParams()
options.model.path, options.hostnames, options.port = path, ["127.0.0.1"], port
options.n_parallel, options.n_ctx, options.n_batch, options.n_ubatch = slots, slots * 512, 512, 512
options.cpuparams.n_threads = options.cpuparams_batch.n_threads = threads
options.embedding, options.ui, options.verbosity = True, False, 1
server = xllamacpp.Server(options)
while True:
    signal.pause()
"""


def text(words: int) -> str:
    return " ".join(random.choices(SENTENCE.split(), k=random.randint(words * 3 // 4, words * 5 // 4)))


def measure(port: int, clients: int, each: int, words: int, seconds: float) -> float:
    """Texts a second of all clients together, each on a connection that stays open."""
    until = time.perf_counter() + seconds

    def ask(_: int) -> int:
        connection, count = http.client.HTTPConnection("127.0.0.1", port), 0
        while time.perf_counter() < until:
            given = [text(words) for _ in range(each)]
            body = json.dumps({"model": MODEL, "input": given, "encoding_format": "float"})
            connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            told = answer.read()
            assert answer.status == 200, told
            count += each
        connection.close()
        return count

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        count = sum(pool.map(ask, range(clients)))
    return count / (time.perf_counter() - begun)


@contextmanager
def llama_server(path: Path, threads: int) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-c", _SERVER, str(path), *map(str, (port, SLOTS, threads))]
    child = subprocess.Popen(command, env={**os.environ, "OMP_WAIT_POLICY": "passive"})
    try:
        wait_for(lambda: _answers(port), "llama.cpp's server", 60)
        yield port
    finally:
        child.kill()
        child.wait()


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description="vectors against llama.cpp's own server")
    parser.add_argument("--runs", type=int, default=5, help="runs of each side and shape, in turns [5]")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds of a run [2]")
    parser.add_argument("--size", choices=sorted(SIZES), help="texts of this size alone")
    given = parser.parse_args()
    path = pull.provide(catalogue.resolve(MODEL)).path
    assert path is not None
    threads = usable()
    print(describe("inferq", "xllamacpp", "redis", "rq", "gunicorn"))
    print(f"{path.name}, {threads} threads, {SLOTS} slots there, {given.runs} runs of {given.seconds:g} s in turns")
    with (
        llama_server(path, threads) as other,
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), log_level="warning") as stack,
    ):
        stack.start_gateway(processes=1)
        stack.start_worker(MODEL, threads=threads)
        for size in [given.size] if given.size else SIZES:
            for clients, each in SHAPES:
                sides = {"inferq": stack.port, "llama.cpp": other}
                measures: dict[str, Callable[[], float]] = {
                    side: partial(measure, port, clients, each, SIZES[size], given.seconds)
                    for side, port in sides.items()
                }
                print(f"{size} texts, {each} a request, {clients} clients: {compare(measures, given.runs)}", flush=True)


def compare(measures: dict[str, Callable[[], float]], runs: int) -> str:
    """Each in turns, in words."""
    speeds: dict[str, list[float]] = {side: [] for side in measures}
    for run in range(runs + 1):
        for side, speed in [(side, take()) for side, take in measures.items()]:
            if run:  # the first warms up
                speeds[side].append(speed)
    ratios = [ours / theirs for ours, theirs in zip(speeds["inferq"], speeds["llama.cpp"], strict=True)]
    shown = (f"{side} {spread(values, ' texts/s', 0)}" for side, values in speeds.items())
    return f"{', '.join(shown)}; ratio {spread(ratios)}"


if __name__ == "__main__":
    main()
