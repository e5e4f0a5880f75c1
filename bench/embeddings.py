"""Vectors of `minilm` through inferq, against llama.cpp's own HTTP server on the same file, in one run.

    python -m bench.embeddings [--short] [--runs N] [--sentence-transformers]

Both sides: the same file, and as many threads; the server has batches of 512 tokens and 8 slots. It is there twice: as
it is by itself, when its threads keep their cores while they wait for each other, which is the fastest where there is
no other work and many times slower where there is; and with threads that sleep then (`passive`). Texts of about 12 and
80 words, one and 32 a request, 1 and 8 clients, in turns. Prints texts a second, and the CPU time of a text in each
process. Where asked for, one client is compared with sentence-transformers too, which is in a client's own process.
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
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.in_process import sentence_transformers
from bench.machine import cpu, describe, spread
from inferq import pull
from shared import catalogue
from shared.cores import usable
from tests.stack import children, free_port, running, wait_for

MODEL, SLOTS = "minilm", 8
SENTENCE = "the sea was calm and a boat slow light house keeper read old letters of her brother in winter"
SIZES = {"short": 12, "long": 80}
SHAPES = ((1, 1), (1, 32), (8, 1), (8, 32))
"""Clients, and texts of each of their requests."""
SERVERS: Mapping[str, Mapping[str, str]] = {"llama.cpp": {}, "llama.cpp, passive": {"OMP_WAIT_POLICY": "passive"}}
"""By their names, what they have in their environment."""
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


Ask = Callable[[list[str]], None]


@dataclass(frozen=True)
class Rival:
    """One of those that are compared."""

    name: str
    connect: Callable[[], Ask]
    """What each client asks by."""
    pids: Mapping[str, int]
    """Of its parts."""
    clients: int = 8
    """So many it can serve at once."""


@dataclass
class Figures:
    """Of one rival and one shape, run by run."""

    speeds: list[float] = field(default_factory=list)
    """Texts a second of all clients together."""
    costs: list[dict[str, float]] = field(default_factory=list)
    """Milliseconds of CPU a text, by part."""

    def __str__(self) -> str:
        parts = {part: median(cost[part] for cost in self.costs) for part in self.costs[0]}
        told = " + ".join(f"{part} {cost:.1f}" for part, cost in parts.items()) if len(parts) > 1 else ""
        total = f"{sum(parts.values()):.1f} ms CPU a text"
        return f"{spread(self.speeds, ' texts/s', 0)}, {total}{told and f' ({told})'}"


def text(words: int) -> str:
    return " ".join(random.choices(SENTENCE.split(), k=random.randint(words * 3 // 4, words * 5 // 4)))


def over_http(port: int) -> Ask:
    """On a connection that stays open."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def ask(texts: list[str]) -> None:
        body = json.dumps({"model": MODEL, "input": texts, "encoding_format": "float"})
        connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        told = answer.read()
        assert answer.status == 200, told

    return ask


def measure(rival: Rival, clients: int, each: int, words: int, seconds: float) -> tuple[float, dict[str, float]]:
    """Texts a second of all clients together, and milliseconds of CPU a text by part."""
    before = {part: cpu(pid) for part, pid in rival.pids.items()}
    begun = time.perf_counter()

    def run(_: int) -> int:
        ask, count = rival.connect(), 0
        while time.perf_counter() < begun + seconds:
            ask([text(words) for _ in range(each)])
            count += each
        return count

    with ThreadPoolExecutor(clients) as pool:
        count = sum(pool.map(run, range(clients)))
    took = time.perf_counter() - begun
    return count / took, {part: (cpu(pid) - before[part]) / count * 1000 for part, pid in rival.pids.items()}


@contextmanager
def llama_server(path: Path, threads: int, name: str, environment: Mapping[str, str]) -> Iterator[Rival]:
    port = free_port()
    command = [sys.executable, "-c", _SERVER, str(path), *map(str, (port, SLOTS, threads))]
    child = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        wait_for(lambda: _answers(port), "llama.cpp's server", 60)
        yield Rival(name, lambda: over_http(port), {"llama.cpp": child.pid})
    finally:
        child.kill()
        child.wait()


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False


@contextmanager
def inferq(threads: int) -> Iterator[Rival]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="warning") as stack:
        stack.start_gateway(processes=1)
        stack.start_worker(MODEL, threads=threads)
        (gateway,), (host,) = children(stack.gateway), children(stack.worker)
        pids = {"host": host, "gateway": gateway, "worker": stack.worker.pid, "valkey": stack.valkey.pid}
        yield Rival("inferq", lambda: over_http(stack.port), pids)


def main() -> None:
    parser = argparse.ArgumentParser(description="vectors against llama.cpp's own server")
    parser.add_argument("--runs", type=int, default=5, help="runs of each side and shape, in turns [5]")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds of a run [2]")
    parser.add_argument("--size", choices=sorted(SIZES), help="texts of this size alone")
    parser.add_argument("--short", action="store_true", help="three runs of a second, in two to five minutes")
    parser.add_argument("--sentence-transformers", action="store_true", help="with that; the first time it is fetched")
    given = parser.parse_args()
    runs, seconds = (3, 1.0) if given.short else (given.runs, given.seconds)
    path = pull.provide(catalogue.resolve(MODEL)).path
    assert path is not None
    threads = usable()
    print(describe("inferq", "xllamacpp", "redis", "rq", "gunicorn"))
    print(f"{path.name}, {threads} threads, {SLOTS} slots there, {runs} runs of {seconds:g} s in turns")
    with ExitStack() as stack:
        rivals = [stack.enter_context(inferq(threads))]
        for name, environment in SERVERS.items():
            rivals.append(stack.enter_context(llama_server(path, threads, name, environment)))
        if given.sentence_transformers:
            other = stack.enter_context(sentence_transformers(MODEL, threads))
            rivals.append(Rival("sentence-transformers", lambda: other.ask, {"in process": other.pid}, clients=1))
        for size in [given.size] if given.size else SIZES:
            for clients, each in SHAPES:
                print(f"{size} texts, {each} a request, {clients} clients:")
                compare(
                    [rival for rival in rivals if rival.clients >= clients], clients, each, SIZES[size], runs, seconds
                )


def compare(rivals: list[Rival], clients: int, each: int, words: int, runs: int, seconds: float) -> None:
    """Each in turns, in words."""
    figures = {rival.name: Figures() for rival in rivals}
    for rival in rivals:
        measure(rival, clients, each, words, min(seconds, 0.5))  # warms up
    for _ in range(runs):
        for rival in rivals:
            speed, costs = measure(rival, clients, each, words, seconds)
            figures[rival.name].speeds.append(speed)
            figures[rival.name].costs.append(costs)
    ours = figures["inferq"]
    for name, found in figures.items():
        ratios = [own / theirs for own, theirs in zip(ours.speeds, found.speeds, strict=True)]
        print(f"  {name:22} {found}{'' if found is ours else f'; inferq {spread(ratios)} of that'}", flush=True)


if __name__ == "__main__":
    main()
