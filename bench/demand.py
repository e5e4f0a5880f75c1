"""Load on demand to the first token, beside loading by hand: `inferq worker MODEL`, then the first token.

Both sides in turns on one Redis and one gateway, each from a process that is started to the first token of an answer:
by hand a worker is started, and asked when it has announced itself; on demand it is asked for, and the agent does the
rest. `python -m bench.demand --model smollm2 --rounds 5`.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from functools import partial
from pathlib import Path

import httpx2 as httpx

from bench.machine import describe, spread
from shared import registry
from tests.stack import Stack, stop, wait_for
from tests.up import Up

_FIXED = {"threads": "1", "batch_size": "128", "attention": "plain", "as_is": "1"}
"""Nothing is measured at the start, on either side."""


def first_token(url: str, model: str) -> None:
    """Ask, and wait for the first piece of the answer."""
    body = {"model": model, "prompt": "Once upon a time", "stream": True, "max_tokens": 4}
    with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=600) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                return
    raise SystemExit("no token came")


def by_hand(stack: Stack, model: str) -> float:
    """Seconds from the worker's start to the first token. It is polled as often as the agent does."""
    begun = time.monotonic()
    worker = stack._inferq("worker", model)
    wait_for(lambda: [each for each in registry.workers(stack.redis) if each.card], "the worker's card", 600)
    first_token(stack.url, model)
    took = time.monotonic() - begun
    stop(worker)
    return took


def on_demand(url: str, model: str, stack: Stack) -> float:
    """Seconds from the request to the first token. The worker is gone afterwards."""
    begun = time.monotonic()
    first_token(url, model)
    took = time.monotonic() - begun
    for worker in registry.workers(stack.redis):
        os.kill(worker.pid, signal.SIGUSR1)
    wait_for(lambda: not registry.workers(stack.redis), "the worker's end", 60)
    time.sleep(1)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(describe())
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "models").mkdir()
        stack = Stack(folder, **_FIXED)
        up = None
        try:
            stack.start_gateway()
            by_hand(stack, asked.model)  # what is done once on this machine
            settings = {f"INFERQ_{name.upper()}": value for name, value in _FIXED.items()}
            settings |= {"INFERQ_REDIS_URL": stack.settings["redis_url"], "INFERQ_RESIDENCE": "0"}
            up = Up(folder / "data", "--models", str(folder / "models"), "--port", "0", **settings)
            url = up.ready()
            for number in range(asked.rounds):
                sides = {
                    "hand": partial(by_hand, stack, asked.model),
                    "demand": partial(on_demand, url, asked.model, stack),
                }
                took = {side: sides[side]() for side in sorted(sides, reverse=bool(number % 2))}
                rounds.append(took)
                print(" ".join(f"{side} {seconds:.2f} s" for side, seconds in sorted(took.items())), flush=True)
        finally:
            if up:
                up.process.terminate()
                up.finish()
            stack.close()
    for side in ("hand", "demand"):
        print(f"{side}: {spread([each[side] for each in rounds], ' s')}")
    print(f"on demand, of by hand: {spread([each['demand'] / each['hand'] for each in rounds])}")


if __name__ == "__main__":
    main()
