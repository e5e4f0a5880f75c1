"""SmolLM2: how soon the first token comes of a prompt that was read before, against one that nobody has read.

    python -m bench.prefixes [--runs N] [--tokens N] [--threads N] [--file GGUF]

With inferq's engine alone, each run with a folder and a prompt of its own: (1) a prompt is read, and read again by an
engine that was started anew; (2) the turns of a chat; (3) four who come at once with one system prompt that is known,
to an engine that was started anew. A question there has 20 words, which with the template's own and what is left of
the last block of the prefix are 25 to 55 tokens: all of that is read.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from bench.machine import cpu, describe, spread
from inferq import pull
from shared import catalogue
from shared.cancellation import NEVER
from shared.catalogue import Model
from shared.config import Config
from shared.protocol import Chat, Completion, Delta, Done, Message, Sampling, TextTask, Usage
from tests.beside import at_once
from worker.engines.llama_cpp import LlamaCppEngine

SLOTS, ANSWER, TURNS, SYSTEM, SAID, ASKED = 4, 16, 10, 800, 40, 20
_WORDS = ("harbour", "boats", "morning", "weather", "market", "bread", "letters", "winter", "garden", "river", "stone")


class First(NamedTuple):
    """Of an answer: seconds to its first token, and how many tokens of its prompt were not read."""

    seconds: float
    usage: Usage
    text: str


def text(count: int, draws: Random) -> str:
    return " ".join(draws.choice(_WORDS) for _ in range(count))


def first(engine: LlamaCppEngine, task: TextTask) -> First:
    begun, seconds, said = time.perf_counter(), 0.0, ""
    for event in engine.run(task, NEVER):
        match event:
            case Delta():
                seconds, said = seconds or time.perf_counter() - begun, said + event.text
            case Done(usage=usage):
                return First(seconds, usage, said)
    raise AssertionError("it has an end")


def chat(*said: str) -> Chat:
    turns = (Message("system" if not i else "user" if i % 2 else "assistant", text) for i, text in enumerate(said))
    return Chat("smollm2", tuple(turns), Sampling(1, max_tokens=ANSWER, temperature=0.0))


class Bench:
    def __init__(self, model: Model, folder: Path, tokens: int, threads: int, seed: int) -> None:
        self._model, self._folder, self._tokens, self._threads = model, folder, tokens, threads
        self._draws = Random(seed)

    def engine(self) -> closing[LlamaCppEngine]:
        config = Config(prefixes=str(self._folder), slots=SLOTS, threads=self._threads, context=8192)
        return closing(LlamaCppEngine(self._model, config))

    def run(self) -> dict[str, float]:
        """The ratios of one run."""
        prompt = text(self._tokens, self._draws)
        task = Completion("smollm2", (prompt,), Sampling(1, max_tokens=1, temperature=0.0))
        system, said = text(SYSTEM, self._draws), [text(SAID, self._draws) for _ in range(TURNS)]
        asked = [text(ASKED, self._draws) for _ in range(SLOTS)]
        with self.engine() as engine:
            cold = first(engine, task)
            before = _cpu(engine)
            known = first(engine, chat(system, said[0]))
            known_cpu = _cpu(engine) - before
            turns, history = [known], [system, said[0], known.text]
            for question in said[1:]:
                turns.append(first(engine, chat(*history, question)))
                history += [question, turns[-1].text]
        with self.engine() as engine:
            again = first(engine, task)
        with self.engine() as engine:
            found, before = list[First](), _cpu(engine)

            def ask(question: str) -> None:
                found.append(first(engine, chat(system, question)))

            at_once([partial(ask, each) for each in asked], 600)
            found_cpu = _cpu(engine) - before
        prefix = known.usage.prompt_tokens - SAID
        return {
            "restarted / cold": again.seconds / cold.seconds,
            "turn 10 / turn 1": turns[-1].seconds / turns[0].seconds,
            "slowest of four / cold": max(each.seconds for each in found) / known.seconds,
            "processor time of four / cold, with answers": found_cpu / known_cpu,
            "tokens of four read / cold": sum(map(_unknown, found)) / _unknown(known),
            "least cached of four": min(each.usage.cached_tokens for each in found) / prefix,
            "tokens of the prompt": cold.usage.prompt_tokens,
            "cold s": cold.seconds,
        }


def _cpu(engine: LlamaCppEngine) -> float:
    assert engine.host_pid, "it has a host"
    return cpu(engine.host_pid)


def _unknown(found: First) -> int:
    return found.usage.prompt_tokens - found.usage.cached_tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=1990, help="of the long prompt, about")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--file", type=Path)
    given = parser.parse_args()
    model = pull.provide(catalogue.resolve(str(given.file or "smollm2")))
    print(describe("xllamacpp"), flush=True)
    measured: dict[str, list[float]] = {}
    for seed in range(given.runs):
        with tempfile.TemporaryDirectory() as folder:
            for name, value in Bench(model, Path(folder), given.tokens, given.threads, seed).run().items():
                measured.setdefault(name, []).append(value)
    print("| | median (least to most) |\n|---|---|")
    for name, values in measured.items():
        print(f"| {name} | {spread(values)} |")


if __name__ == "__main__":
    main()
