"""What settings that were measured are worth: gaps and tokens a second, with them, with the usual ones, and as
llama.cpp's server is by itself.

    python -m bench.settings [--runs N]

One file, the same slots and context, llama.cpp's own server each time, in turns: with the numbers that a calibration
found just now, with those that are taken where nothing was measured (all cores but one, all, steps of 128 tokens), and
with llama.cpp's defaults (threads for each core, batches of 2,048). Printed for each: the worst gap in a running stream
while 1,500 tokens of another prompt come in, tokens a second of that prompt alone, of one stream and of eight. It takes
less than four minutes on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from bench.machine import describe, spread
from bench.model import PLAIN, SAMPLING, TOKENS, UnixConnection, long_prompt, measure
from inferq import pull
from shared import catalogue
from shared.config import Config
from shared.cores import share
from worker import engines
from worker.engines.child import SOCKET
from worker.engines.host import EngineHost

SLOTS, MODEL = 8, "smollm2"
_LEAD = 20
"""Chunks that a stream has sent when the other prompt comes."""


def main() -> None:
    parser = argparse.ArgumentParser(description="measured settings against fixed ones and llama.cpp's defaults")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side [3]")
    runs = parser.parse_args().runs
    model = pull.provide(catalogue.resolve(MODEL))
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache  # for a calibration of this moment
        begun = time.perf_counter()
        found = engines.fit(model, Config(slots=SLOTS))
        seconds = time.perf_counter() - begun
    cores, threads = share(0)
    fixed = {"threads": max(1, cores - 1), "batch_threads": cores, "batch": 128}
    sides: dict[str, dict[str, Any]] = {
        "measured": {
            "threads": found.threads or fixed["threads"],
            "batch_threads": found.batch_threads or fixed["batch_threads"],
            "batch": found.step,
            "attention": found.attention,
        },
        "fixed": fixed,
        "llama.cpp's": {"threads": threads, "batch_threads": threads, "batch": 2048, "ubatch": 512},
    }
    print(describe("inferq", "xllamacpp"))
    print(f"{model.path}, {SLOTS} slots, {runs} runs in turns; calibrated in {seconds:.1f} s")
    gaps, prompts, single, eight = ({name: list[float]() for name in sides} for _ in range(4))
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(serve(str(model.path), given)) for name, given in sides.items()}
        for run in range(runs + 1):
            for name, (host, key) in ports.items():
                seen = look(host, {"Authorization": f"Bearer {key}"})
                for figures, figure in zip((gaps, prompts, single, eight), seen, strict=True):
                    figures[name] += [figure] if run else []  # the first warms up
    print("\n| settings | worst gap | prompt alone | 1 stream | 8 streams |\n|---|---|---|---|---|")
    for name, given in sides.items():
        told = f"{name}: {given}".replace("'", "")
        speeds = (spread(each[name], " tokens/s", 0) for each in (prompts, single, eight))
        print(f"| {told} | {spread(gaps[name], ' ms', 0)} | {' | '.join(speeds)} |")
    for other in ("fixed", "llama.cpp's"):
        ratios = (
            statistics.median(a / b for a, b in zip(each["measured"], each[other], strict=True))
            for each in (gaps, prompts, single, eight)
        )
        print(f"| measured / {other} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")


@contextlib.contextmanager
def serve(path: str, given: dict[str, Any]) -> Iterator[tuple[EngineHost, str]]:
    key = secrets.token_urlsafe()
    parameters = {**PLAIN, "path": path, "reads": [path], "key": key, "context": 0, "slots": SLOTS, **given}
    host = EngineHost("worker.engines.llama_cpp_host", MODEL, parameters)
    try:
        yield host, key
    finally:
        host.close()


def look(host: EngineHost, headers: dict[str, str]) -> tuple[float, float, float, float]:
    """Milliseconds of the worst gap; tokens a second of a prompt alone, of one stream, of eight."""

    def connect() -> http.client.HTTPConnection:
        return UnixConnection(host.directory / SOCKET)

    gap = worst_gap(connect(), connect(), headers)
    speed = prompt_speed(connect(), headers)
    return gap, speed, measure(connect, headers, 1)[0], measure(connect, headers, SLOTS)[0]


def ask(
    connection: http.client.HTTPConnection, headers: dict[str, str], content: str, tokens: int
) -> http.client.HTTPResponse:
    body = {"messages": [{"role": "user", "content": content}], "stream": True, **SAMPLING, "max_tokens": tokens}
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json", **headers}
    )
    return connection.getresponse()


def worst_gap(
    connection: http.client.HTTPConnection, other: http.client.HTTPConnection, headers: dict[str, str]
) -> float:
    times: list[float] = []
    late: http.client.HTTPResponse | None = None
    for line in ask(connection, headers, f"{secrets.token_hex(8)}. Tell me a long story.", 4 * TOKENS):
        if line.startswith(b"data: {"):
            times.append(time.perf_counter())
        if len(times) == _LEAD and late is None:
            late = ask(other, headers, long_prompt(), 1)
    assert late is not None
    late.read()
    connection.close()
    other.close()
    return max(b - a for a, b in pairwise(times[_LEAD:])) * 1000


def prompt_speed(connection: http.client.HTTPConnection, headers: dict[str, str]) -> float:
    """Of 1,500 tokens that nobody has read before."""
    body = {"prompt": long_prompt(), "n_predict": 1, "cache_prompt": False}
    connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json", **headers})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return float(answer["timings"]["prompt_per_second"])


if __name__ == "__main__":
    main()
