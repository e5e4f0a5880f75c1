"""What a newcomer's first questions get from the built-in model: right answers, circles, and answers that do not end.

    python -m bench.first_questions [--seeds N]

Ten easy facts, N seeds each [4], asked as a client does that says nothing of sampling; at OpenAI's own defaults, which
the model does not recommend; at its makers' values without the penalty that inferq adds; and with another short system
prompt in the place of the template's own. An answer is *right* where it has the word, goes in *circles* where more than
a quarter of its runs of four words came before in it, and has *no end* where it is cut at 160 tokens.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import OpenAI

from bench.machine import describe
from tests.coherence.judge import HIGHEST_REPETITION, repetition
from tests.stack import running

FACTS = (
    ("What is the capital of France?", "paris"),
    ("What is the capital of Italy?", "rome"),
    ("How many days does a week have?", "seven|7"),
    ("What color is the sky on a clear day?", "blue"),
    ("What do bees make?", "honey"),
    ("Which planet do we live on?", "earth"),
    ("What is frozen water called?", "ice"),
    ("Which animal says meow?", "cat"),
    ("What is the opposite of hot?", "cold"),
    ("At what time of day does the sun rise?", "morning|dawn|east|am"),
)
TOKENS, SLOTS = 160, 4
SYSTEM = "You are a helpful assistant. Answer briefly and truthfully."
OPENAIS: dict[str, Any] = {"temperature": 1, "top_p": 1, "extra_body": {"repeat_penalty": 1}}
MAKERS: dict[str, Any] = {"extra_body": {"repeat_penalty": 1}}


@dataclass(frozen=True)
class Got:
    """What one answer was like."""

    right: bool
    circles: bool
    endless: bool
    words: int


def main() -> None:
    parser = argparse.ArgumentParser(description="what a newcomer's first questions get")
    parser.add_argument("--seeds", type=int, default=4, help="answers to each question [4]")
    seeds = parser.parse_args().seeds
    print(describe("inferq", "xllamacpp"), flush=True)
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "defaults": ("", {}),
        "OpenAI's": ("", OPENAIS),
        "its makers' alone": ("", MAKERS),
        "another system prompt": (SYSTEM, {}),
    }
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="error") as stack:
        stack.start_gateway(processes=1)
        stack.start_worker("smollm2", slots=SLOTS, threads=1)  # several spin, where a machine has other work
        client = stack.client()
        print(f"{'':24}{'right':>12}{'circles':>10}{'no end':>10}{'words':>8}")
        for kind, (system, sampling) in kinds.items():
            got = list(ask_all(client, seeds, system, sampling))
            told = (sum(each.right for each in got), sum(each.circles for each in got), sum(e.endless for e in got))
            words = sorted(each.words for each in got)[len(got) // 2]
            print(f"{kind:24}{f'{told[0]} of {len(got)}':>12}{told[1]:>10}{told[2]:>10}{words:>8}", flush=True)


def ask_all(client: OpenAI, seeds: int, system: str, sampling: dict[str, Any]) -> Iterator[Got]:
    first = [{"role": "system", "content": system}] if system else []

    def ask(number: int) -> Got:
        question, word = FACTS[number % len(FACTS)]
        messages: Any = [*first, {"role": "user", "content": question}]
        answer = client.chat.completions.create(
            model="smollm2", messages=messages, seed=number, max_tokens=TOKENS, timeout=600, **sampling
        )
        text = str(answer.choices[0].message.content).lower()
        words = re.findall(r"\w+", text)
        return Got(
            right=bool(re.search(rf"\b({word})", text)),
            circles=repetition(text) > HIGHEST_REPETITION,
            endless=answer.choices[0].finish_reason == "length",
            words=len(words),
        )

    with ThreadPoolExecutor(SLOTS) as pool:
        yield from pool.map(ask, range(seeds * len(FACTS)))


if __name__ == "__main__":
    main()
