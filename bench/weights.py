"""A file whose weights are prepared for this CPU, through inferq, against llama.cpp's own HTTP server with that file.

    python -m bench.weights [MODEL|FILE] [--runs N] [--as-is]

Both sides have the same threads, n_batch, slots and sampling; inferq serves what it prepares of the file, and the other
side, which is the same engine host asked without inferq between, the file itself. Tokens a second of 1 stream and of 8,
and of prompts of about 1,500 tokens, in turns; the ratio pair by pair. With --as-is inferq serves the file itself too.
"""

from __future__ import annotations

import argparse
import http.client
import json
import secrets
import tempfile
import time
from pathlib import Path

from bench import model as streams
from bench.machine import describe, spread
from bench.model import PLAIN, SAMPLING, SLOTS, Connect, UnixConnection, long_prompt
from inferq import pull
from inferq.weights import choose_weights
from shared import catalogue
from shared.config import Config
from shared.cores import usable
from tests.stack import running
from worker.engines.child import SOCKET
from worker.engines.host import EngineHost

Sides = dict[str, tuple[Connect, dict[str, str]]]


def main() -> None:
    parser = argparse.ArgumentParser(description="prepared weights against llama.cpp's own server")
    parser.add_argument("model", nargs="?", default="smollm2")
    parser.add_argument("--runs", type=int, default=5, help="runs of each side and measure [5]")
    parser.add_argument("--as-is", action="store_true", help="inferq serves the file as it is too")
    flags = parser.parse_args()
    found = pull.provide(catalogue.resolve(flags.model))
    assert found.path is not None
    streams.MODEL = found.id
    served = choose_weights(found, Config(as_is=int(flags.as_is)))
    key = secrets.token_urlsafe()
    threads = {"threads": max(1, usable() - 1), "batch_threads": usable()}
    parameters = {
        "path": str(found.path),
        "reads": [str(found.path)],
        "key": key,
        "context": 2048,
        "slots": SLOTS,
        **threads,
        **PLAIN,
    }
    print(describe("inferq", "xllamacpp"))
    print(f"{found.path.name}, {threads}, n_batch {PLAIN['batch']}, {SLOTS} slots, {flags.runs} runs in turns")
    print(f"inferq serves {served.path.name if served.path else '-'}")
    host = EngineHost("worker.engines.llama_cpp_host", found.id, parameters)
    try:
        with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="warning") as stack:
            stack.start_gateway(processes=1)
            stack.start_worker(flags.model, slots=SLOTS, context=2048, as_is=int(flags.as_is))
            sides: Sides = {
                "inferq": (lambda: http.client.HTTPConnection("127.0.0.1", stack.port), {}),
                "llama.cpp": (lambda: UnixConnection(host.directory / SOCKET), {"Authorization": f"Bearer {key}"}),
            }
            for count in (1, 8):
                streams.compare(sides, count, flags.runs)
            compare_prompts(sides, flags.runs)
    finally:
        host.close()


def compare_prompts(sides: Sides, runs: int) -> None:
    speeds: dict[str, list[float]] = {side: [] for side in sides}
    for run in range(runs + 1):
        for side, (connect, headers) in sides.items():
            speed = read_prompt(connect(), headers)
            if run:  # the first warms up
                speeds[side].append(speed)
    for side, seen in speeds.items():
        print(f"prompts, {side:9}: {spread(seen, ' tokens/s', 1)}")
    ratios = [a / b for a, b in zip(speeds["inferq"], speeds["llama.cpp"], strict=True)]
    print(f"prompts, inferq / llama.cpp: {spread(ratios)}")


def read_prompt(connection: http.client.HTTPConnection, headers: dict[str, str]) -> float:
    """Tokens a second of a prompt that is new to the cache, with the one token that answers it."""
    body = {"model": streams.MODEL, "messages": [{"role": "user", "content": long_prompt()}], **SAMPLING}
    body["max_tokens"] = 1
    begun = time.perf_counter()
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json", **headers}
    )
    answer = json.loads(connection.getresponse().read())
    seconds = time.perf_counter() - begun
    connection.close()
    tokens: int = answer["usage"]["prompt_tokens"]
    return tokens / seconds


if __name__ == "__main__":
    main()
