"""One worker of a model beside `workers = "1..2"`, with a crowd that has more to ask than one of them can answer.

    python -m bench.growth [--model legacy | NAME] [--rounds 3] [--seconds 45] [--clients 60] [--after]

The two sides take turns, each from the start of its model to the end of the time: what is completed until then, how
long it has waited, and after how many seconds there was a second worker. `legacy` is a GPT-J of 127 million random
weights in ctransformers, which computes one answer at a time, with one thread. NAME is any other model, with its usual
slots and threads. With --after it is told when the second worker has gone again, as nobody asks any more.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx

from bench import synthetic
from bench.machine import describe, percentile, spread
from inferq.agent.growth import IdleCores
from shared import catalogue, registry
from shared.tickets import Tickets
from tests.stack import Stack, wait_for
from tests.up import Up

TOKENS = 64
SIDES = ("1", "1..2")
_LEGACY = 'engine = "ctransformers"\narchitecture = "gptj"\nthreads = 1\nslots = 1\ncontext = 256\n'
_NEVER = float("inf")


@dataclass
class Seen:
    """Of one side, in one round."""

    jobs: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    """Seconds from the acceptance of each to its start."""
    second: float = _NEVER
    """Seconds after which two workers served."""
    at_end: int = 0
    """Workers that serve at the end."""
    idle: list[float] = field(default_factory=list)
    """Cores that had nothing to do, while one worker served, as the agent counts them."""


@contextmanager
def serving(folder: Path, stack: Stack, model: str, workers: str) -> Iterator[str]:
    """The URL of an `inferq up` that has one model on demand, called `it`."""
    path = folder / "legacy.bin"
    if model == "legacy" and not path.exists():
        synthetic.write(folder)["ggml"].rename(path)
    file = folder / "models.toml"
    source, about = (path, _LEGACY) if model == "legacy" else (catalogue.resolve(model).path, "")
    file.write_text(f'[[model]]\nid = "it"\nsource = "{source}"\nworkers = "{workers}"\n{about}')
    settings = {"INFERQ_REDIS_URL": stack.settings["redis_url"], "INFERQ_MAX_QUEUE": "1000", "INFERQ_AS_IS": "1"}
    up = Up(folder / "data", "--models", str(file), "--port", "0", **settings)
    try:
        yield up.ready()
    finally:
        up.process.terminate()
        up.finish(60)
        wait_for(lambda: not registry.workers(stack.redis), "the workers' end", 60)


def crowd(stack: Stack, url: str, clients: int, seconds: float) -> Seen:
    """Clients that ask again as soon as they have an answer, for so long."""
    seen, over = Seen(), threading.Event()

    def ask(number: int) -> None:
        asked = {"model": "it", "prompt": f"w{number}", "max_tokens": TOKENS, "temperature": 1, "ignore_eos": True}
        with httpx.Client(timeout=600) as client:
            while not over.is_set():
                told = client.post(f"{url}/v1/completions", json=asked).raise_for_status().json()
                if not over.is_set():
                    seen.jobs.append(told["id"])

    httpx.post(f"{url}/v1/completions", json={"model": "it", "prompt": "w", "max_tokens": 1}, timeout=600)
    begun, cores = time.monotonic(), IdleCores()
    with ThreadPoolExecutor(clients) as pool:
        for number in range(clients):
            pool.submit(ask, number)
        while (passed := time.monotonic() - begun) < seconds:
            seen.at_end = serve(stack)
            if seen.at_end > 1:
                seen.second = min(seen.second, passed)
            elif passed > 2:
                seen.idle.append(cores.count())
            time.sleep(0.25)
        over.set()
    tickets = [Tickets(stack.redis).get(job) for job in seen.jobs]
    seen.waits = [((each.started or 0) - each.created) / 1000 for each in tickets]
    return seen


def serve(stack: Stack) -> int:
    """Workers that do."""
    return sum(each.card is not None for each in registry.workers(stack.redis))


def main() -> None:
    parser = argparse.ArgumentParser(description="one worker of a model beside one to two")
    parser.add_argument("--model", default="legacy")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=45)
    parser.add_argument("--clients", type=int, default=60)
    parser.add_argument("--after", action="store_true", help="wait for the second one to go again")
    given = parser.parse_args()
    print(describe("inferq", "ctransformers", "xllamacpp"))
    rounds: list[dict[str, Seen]] = []
    print("| round | workers | jobs | wait p50 | p90 | cores idle | the second after | at the end |")
    print("|---" * 8 + "|")
    with tempfile.TemporaryDirectory() as name:
        stack = Stack(Path(name))
        try:
            for number in range(given.rounds):
                rounds.append({})
                for side in SIDES if number % 2 else SIDES[::-1]:
                    with serving(Path(name), stack, given.model, side) as url:
                        seen = rounds[-1][side] = crowd(stack, url, given.clients, given.seconds)
                        print(row(number, side, seen), flush=True)
                        if given.after and number == given.rounds - 1 and seen.at_end > 1:
                            begun = time.monotonic()
                            wait_for(lambda: serve(stack) == 1, "the second one's end", 200)
                            print(f"the second one has gone {time.monotonic() - begun:.0f} s after the last request")
        finally:
            stack.close()
    one, more = SIDES
    print(f"jobs in the same time: {spread([len(each[more].jobs) / len(each[one].jobs) for each in rounds])}")


def row(number: int, side: str, seen: Seen) -> str:
    after = "never" if seen.second == _NEVER else f"{seen.second:.0f} s"
    waits = f"{statistics.median(seen.waits):.1f} s | {percentile(seen.waits, 90):.1f} s"
    idle = statistics.median(seen.idle)
    return f"| {number + 1} | {side} | {len(seen.jobs)} | {waits} | {idle:.2f} | {after} | {seen.at_end} |"


if __name__ == "__main__":
    main()
