"""What settings that were measured are worth: gaps and tokens a second, with them, with the usual ones, and as
llama.cpp's server is by itself.

    python -m bench.settings [--short] [--runs N] [--json FILE]

One file, the same slots and context, llama.cpp's own server each time, in turns: with the numbers that a calibration
found just now, with those that are taken where nothing was measured (all cores but one, all, steps of 128 tokens), and
with llama.cpp's defaults (threads for each core, batches of 2,048). Printed for each: the worst gap in a running stream
while 1,500 tokens of another prompt come in, tokens a second of that prompt alone, of one stream and of eight. It takes
less than four minutes on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from bench.chats import TOKENS, Side, long_prompt, over_unix, short_prompt
from bench.figure import Figure, add_json, keep
from bench.machine import describe
from bench.prefill import worst_gap
from inferq import pull
from shared import catalogue
from shared.config import Config
from shared.cores import share
from worker import engines
from worker.engines.child import SOCKET
from worker.engines.host import EngineHost

SLOTS, MODEL = 8, "smollm2"
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


def main() -> None:
    parser = argparse.ArgumentParser(description="measured settings against fixed ones and llama.cpp's defaults")
    parser.add_argument("--runs", type=int, default=5, help="runs of each side [5]")
    parser.add_argument("--short", action="store_true", help="3 runs")
    add_json(parser)
    flags = parser.parse_args()
    runs = 3 if flags.short else flags.runs
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
    gaps = Figure("settings-gap", "Worst gap in a stream, by settings", "while", "ms", "measured", less=True)
    speeds = Figure("settings-speed", "Tokens a second, by settings", "what", "tokens/s", "measured")
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(serve(name, str(model.path), given)) for name, given in sides.items()}
        for run in range(runs + 1):
            for name, side in servers.items():
                gap, *seen = look(side)
                if not run:  # warms up
                    continue
                gaps.add(name, "1,500 tokens come in", gap)
                for what, speed in zip(("that prompt alone", "1 stream", f"{SLOTS} streams"), seen, strict=True):
                    speeds.add(name, what, speed)
    for name, given in sides.items():
        print(f"- {name}: {given}".replace("'", ""))
    for figure in (gaps, speeds):
        print(f"\n{figure.title}\n\n{figure.table()}", flush=True)
    keep(flags, (gaps, speeds), "inferq", "xllamacpp")


@contextlib.contextmanager
def serve(name: str, path: str, given: dict[str, Any]) -> Iterator[Side]:
    key = secrets.token_urlsafe()
    parameters = {**PLAIN, "path": path, "reads": [path], "key": key, "context": 0, "slots": SLOTS, **given}
    host = EngineHost("worker.engines.llama_cpp_host", MODEL, parameters)
    try:
        yield over_unix(name, host.directory / SOCKET, key)
    finally:
        host.close()


def look(side: Side) -> tuple[float, ...]:
    """Milliseconds of the worst gap; tokens a second of a prompt alone, of one stream, of eight."""
    gap, speed = worst_gap(side, side, 4 * TOKENS), prompt_speed(side)
    return gap, speed, *(side.crowd([short_prompt() for _ in range(count)])[0] for count in (1, SLOTS))


def prompt_speed(side: Side) -> float:
    """Of 1,500 tokens that nobody has read before, as llama.cpp tells it."""
    connection = side.connect()
    body = {"prompt": long_prompt(), "n_predict": 1, "cache_prompt": False}
    connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json", **side.headers})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return float(answer["timings"]["prompt_per_second"])


if __name__ == "__main__":
    main()
