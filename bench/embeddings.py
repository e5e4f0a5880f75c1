"""Vectors of `minilm` through inferq, against llama.cpp's own HTTP server on the same file, in one run.

    python -m bench.embeddings [--runs N]

Both sides: the same file and threads, batches of 512 tokens for the server, which has as many slots as help it; texts
of about 12 and 80 words, one and 32 a request, 1 and 8 clients, in turns.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
SECONDS = 2.0
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


def measure(port: int, clients: int, each: int, words: int) -> float:
    """Texts a second of all clients together, each on a connection that stays open."""
    until = time.perf_counter() + SECONDS

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
    child = subprocess.Popen([sys.executable, "-c", _SERVER, str(path), *map(str, (port, SLOTS, threads))])
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
    given = parser.parse_args()
    path = pull.provide(catalogue.resolve(MODEL)).path
    assert path is not None
    threads = usable()
    print(describe("inferq", "xllamacpp", "redis", "rq", "gunicorn"))
    print(f"{path.name}, {threads} threads, {SLOTS} slots of the server, {given.runs} runs of {SECONDS:g} s in turns")
    with (
        llama_server(path, threads) as other,
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), log_level="warning") as stack,
    ):
        stack.start_gateway(processes=1)
        stack.start_worker(MODEL, threads=threads)
        for size, words in SIZES.items():
            for clients, each in SHAPES:
                compare({"inferq": stack.port, "llama.cpp": other}, size, words, clients, each, given.runs)


def compare(sides: dict[str, int], size: str, words: int, clients: int, each: int, runs: int) -> None:
    speeds: dict[str, list[float]] = {side: [] for side in sides}
    for run in range(runs + 1):
        for side, port in sides.items():
            speed = measure(port, clients, each, words)
            if run:  # the first warms up
                speeds[side].append(speed)
    ratios = [ours / theirs for ours, theirs in zip(speeds["inferq"], speeds["llama.cpp"], strict=True)]
    shown = ", ".join(f"{side} {spread(values, ' texts/s', 0)}" for side, values in speeds.items())
    print(f"{size} texts, {each} a request, {clients} clients: {shown}; ratio {spread(ratios)}", flush=True)


if __name__ == "__main__":
    main()
