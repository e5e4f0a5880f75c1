"""SmolLM2's prompts: how fast they are scored, against how fast they are read, and what that takes from another answer.

    python -m bench.scoring [--runs N] [--tokens N] [--file GGUF]

All in one process, with inferq's engine alone, each measure in turns: a prompt is read for an answer of one token; one
as long is scored, with the likeliest token of each; an answer is computed alone, beside such a reading, and beside such
a scoring.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import NamedTuple

from bench.machine import describe, spread
from inferq import pull
from shared import catalogue
from shared.cancellation import NEVER, Cancellation
from shared.catalogue import Model
from shared.config import Config
from shared.errors import JobCancelled
from shared.protocol import Completion, Delta, Sampling
from tests.beside import Helper
from worker.engines.llama_cpp import LlamaCppEngine

MODEL, SLOTS, ANSWER = "smollm2", 4, 24


class Course(NamedTuple):
    """How an answer came: tokens a second, and the longest time between two of them in milliseconds."""

    rate: float
    gap: float


def prompt(count: int) -> tuple[int, ...]:
    """Tokens that no cache knows."""
    random = Random(secrets.randbits(64))
    return tuple(random.randrange(1000, 40_000) for _ in range(count))


def completion(tokens: tuple[int, ...], most: int) -> Completion:
    return Completion(MODEL, (tokens,), Sampling(seed=1, max_tokens=most, temperature=0.0, ignore_eos=True))


def read(engine: LlamaCppEngine, count: int) -> float:
    """Tokens a second."""
    begun = time.perf_counter()
    list(engine.run(completion(prompt(count), 1), NEVER))
    return count / (time.perf_counter() - begun)


def score(engine: LlamaCppEngine, count: int) -> float:
    begun = time.perf_counter()
    list(engine.scorer.score(prompt(count), top=1))
    return count / (time.perf_counter() - begun)


def answer(engine: LlamaCppEngine, beside: Callable[[Cancellation], object] | None = None) -> Course:
    """One answer, while another thread does something again and again."""
    over = Cancellation()

    def work() -> None:
        while beside and not over.cancelled:
            try:
                beside(over)
            except JobCancelled:
                return

    helper = Helper(work)
    if beside:
        time.sleep(0.3)
    times = [time.perf_counter() for event in engine.run(completion(prompt(4), ANSWER), NEVER) if _tells(event)]
    over.cancel()
    helper.finish(60)
    return Course((len(times) - 1) / (times[-1] - times[0]), 1000 * max(b - a for a, b in pairwise(times)))


def _tells(event: object) -> bool:
    return isinstance(event, Delta) and bool(event.tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description="prompts scored against prompts read")
    parser.add_argument("--runs", type=int, default=5, help="runs of each measure, in turns [5]")
    parser.add_argument("--tokens", type=int, default=512, help="tokens of a prompt [512]")
    parser.add_argument("--file", type=Path, help="another GGUF file than SmolLM2's")
    given = parser.parse_args()
    path = given.file or pull.provide(catalogue.resolve(MODEL)).path
    assert path is not None
    print(describe("inferq", "xllamacpp", "numpy"))
    print(f"{path.name}, prompts of {given.tokens} tokens, answers of {ANSWER}, {given.runs} runs in turns")
    with closing(LlamaCppEngine(Model(MODEL, "", path, "llama.cpp", None), Config(slots=SLOTS))) as engine:
        compare(engine, given.tokens, given.runs)


def compare(engine: LlamaCppEngine, count: int, runs: int) -> None:
    speeds: dict[str, list[float]] = {"read": [], "scored": []}
    for run in range(runs + 1):
        for name, measure in (("read", read), ("scored", score)):
            speed = measure(engine, count)
            if run:  # the first warms up
                speeds[name].append(speed)
    for name, values in speeds.items():
        print(f"  {name:18} {spread(values, ' tokens/s', 0)}")
    ratios = [scored / read for read, scored in zip(speeds["read"], speeds["scored"], strict=True)]
    print(f"  {'scored to read':18} {spread(ratios)}", flush=True)
    besides: dict[str, Callable[[Cancellation], object] | None] = {
        "alone": None,
        "beside a reading": lambda over: list(engine.run(completion(prompt(count), 1), over)),
        "beside a scoring": lambda over: list(engine.scorer.score(prompt(count), 1, over, top=1)),
    }
    courses: dict[str, list[Course]] = {name: [] for name in besides}
    for _ in range(runs):
        for name, beside in besides.items():
            courses[name].append(answer(engine, beside))
    for name, each in courses.items():
        rate, gap = spread([one.rate for one in each], " tokens/s", 0), spread([one.gap for one in each], " ms", 0)
        share = statistics.median(one.rate / alone.rate for one, alone in zip(each, courses["alone"], strict=True))
        print(f"  an answer {name:18} {rate:28} {share:.2f} of alone, longest gap {gap}")


if __name__ == "__main__":
    main()
