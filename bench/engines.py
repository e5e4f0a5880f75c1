"""One legacy model through four engines: inferq with llama.cpp and with ctransformers, ctransformers alone, llm-rs.

    python -m bench.engines [--short] [--runs N] [--json FILE]

A GPT-J of 127 million random weights in Q4_0, all usable cores for each side, in turns. inferq is asked over HTTP, by
1 and by 8 streams; the others compute one answer at a time, so their 8 streams are 8 answers in a row. llm-rs is what
rustformers' own Python bindings are called; it is a peer to compare with, and no dependency.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from bench import peers, synthetic
from bench.figure import Figure, add_json, keep
from bench.machine import describe
from shared.cores import usable
from tests.clients.environments import NotInstalled
from tests.stack import Stack, running

TOKENS, PROMPT, STREAMS = 64, 256, 8
SAMPLING = {"top_k": 40, "top_p": 0.95}
"""Of all sides: to look at all tokens takes more than at forty."""
PACKAGES = ("inferq", "xllamacpp", "ctransformers")


@dataclass(frozen=True, slots=True)
class Side:
    """A way to compute. `generate` makes so many answers of 64 tokens at once and returns the seconds that took;
    `read` returns the seconds until the first token after a prompt of 256."""

    name: str
    generate: Callable[[int], float]
    read: Callable[[], float]


def prompt(count: int) -> list[int]:
    """Tokens that no cache knows."""
    random = Random(secrets.randbits(64))
    return [random.randrange(257, synthetic.VOCABULARY - 1) for _ in range(count)]


def through_inferq(name: str, stack: Stack, model: str) -> Side:
    def ask(tokens: int, length: int) -> float:
        """Seconds from the first token to the last, or to the first where only one is asked for."""
        body = {"model": model, "prompt": prompt(length), "max_tokens": tokens, "temperature": 1, "stream": True}
        body |= {"ignore_eos": True, **SAMPLING}
        with closing(http.client.HTTPConnection("127.0.0.1", stack.port, timeout=600)) as connection:
            connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
            begun, answer = time.perf_counter(), connection.getresponse()
            assert answer.status == 200, answer.read()
            for line in answer:
                if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["finish_reason"] == "length":
                    break
        return time.perf_counter() - begun

    def generate(streams: int) -> float:
        with ThreadPoolExecutor(streams) as pool:
            begun = time.perf_counter()
            list(pool.map(lambda _: ask(TOKENS, 4), range(streams)))
            return time.perf_counter() - begun

    return Side(name, generate, lambda: ask(1, PROMPT))


def bare_ctransformers(path: Path) -> Side:
    from ctransformers.llm import LLM, Config

    model: Any = LLM(str(path), "gptj", config=Config(threads=usable(), batch_size=8, temperature=1.0, **SAMPLING))

    def answer(tokens: int, length: int) -> float:
        begun = time.perf_counter()
        model._context.clear()
        model.eval(prompt(length))
        for _ in range(tokens):
            model.eval([model.sample()])
        return time.perf_counter() - begun

    return Side("ctransformers", lambda n: sum(answer(TOKENS, 4) for _ in range(n)), lambda: answer(0, PROMPT))


def rustformers(path: Path) -> Side:
    sys.path.append(str(peers.packages_of(peers.installed("llm-rs"))))
    llm_rs: Any = importlib.import_module("llm_rs")
    model: Any = llm_rs.GptJ(str(path), session_config=llm_rs.SessionConfig(threads=usable(), batch_size=8))

    def answer(tokens: int, length: int) -> Any:
        text = "".join(map(synthetic.word, prompt(length)))
        config = llm_rs.GenerationConfig(max_new_tokens=tokens, temperature=1.0, seed=1, **SAMPLING)
        return model.generate(text, generation_config=config).times

    def generate(streams: int) -> float:
        times = [answer(TOKENS, 4) for _ in range(streams)]
        return float(sum(each.total for each in times)) / 1000

    return Side("llm-rs", generate, lambda: float(answer(1, PROMPT).prompt_feeding) / 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description="one legacy model through four engines")
    parser.add_argument("--runs", type=int, default=5, help="runs of each side, in turns [5]")
    parser.add_argument("--short", action="store_true", help="3 runs")
    add_json(parser)
    given = parser.parse_args()
    runs = 3 if given.short else given.runs
    print(describe(*PACKAGES))
    with tempfile.TemporaryDirectory() as folder:
        paths = synthetic.write(Path(folder))
        (Path(folder) / "one").mkdir()
        one = Path(folder) / "one" / "native.bin"
        one.hardlink_to(paths["ggml"])  # a symbolic one would have the other's name
        with running(Path(folder), log_level="warning", threads=usable()) as stack:
            stack.start_gateway()
            stack.start_worker(str(paths["ggml"]), "--arch", "gptj", slots=STREAMS)
            stack.start_worker(str(one), "--engine", "ctransformers", "--arch", "gptj")
            sides = [
                through_inferq("inferq+llama.cpp", stack, paths["ggml"].stem),
                through_inferq("inferq+ctransformers", stack, one.stem),
                bare_ctransformers(paths["ggml"]),
            ]
            try:
                sides.append(rustformers(paths["ggjt"]))
                print(*peers.PACKAGES["llm-rs"])
            except NotInstalled as exc:
                print(f"llm-rs is left out: {exc}")
            figure = compare(sides, runs)
    print(f"\n{figure.title}\n\n{figure.table()}", flush=True)
    keep(given, [figure], *PACKAGES)


def compare(sides: list[Side], runs: int) -> Figure:
    measures: dict[str, Callable[[Side], float]] = {
        "1 stream": lambda side: TOKENS / side.generate(1),
        f"{STREAMS} streams": lambda side: STREAMS * TOKENS / side.generate(STREAMS),
        "a prompt": lambda side: PROMPT / side.read(),
    }
    figure = Figure("engines", "Tokens a second, a GPT-J of 127 million weights", "what", "tokens/s", sides[0].name)
    for run in range(runs + 1):
        for what, measure in measures.items():
            for side in sides if run % 2 else sides[::-1]:
                value = measure(side)
                if run:  # the first warms up
                    figure.add(side.name, what, value)
                print(f"run {run}, {what}: {side.name} {value:.0f} tokens/s", flush=True)
    figure.series = {side.name: figure.series[side.name] for side in sides}
    return figure


if __name__ == "__main__":
    main()
