"""What a newcomer's first questions get from the built-in model: right answers, circles, and answers that do not end.

    python -m bench.first_questions [--seeds N] [--texts] [KIND ...]

Ten easy facts, N seeds each [4], asked as a client does that says nothing of sampling; at OpenAI's own defaults, which
the model does not recommend; at its makers' values without the penalty that inferq adds; with other remedies against
circles; and with another short system prompt in the place of the template's own. An answer is *right* where it has the
word, goes in *circles* where more than a quarter of its runs of four words came before in it, and has *no end* where it
is cut at 160 tokens. With `--texts` six longer texts are asked for, such as a poem, of up to 600 tokens: there a circle
is a line or a run of eight words that comes four times.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
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
TEXTS = (
    "Write a poem about the sea",
    "Tell me a story about a dragon.",
    "Give me ten tips for learning to cook.",
    "Explain how rain forms.",
    "Write a short song about a dog.",
    "What should I see in Paris?",
)
TOKENS, LONG_TOKENS, SLOTS = 160, 600, 4
OFTEN = 4
"""Times that a line or a run of words comes in a long text that goes in circles."""
SYSTEM = "You are a helpful assistant. Answer briefly and truthfully."
OPENAIS: dict[str, Any] = {"temperature": 1, "top_p": 1, "extra_body": {"repeat_penalty": 1}}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "defaults": ("", {}),
    "openai": ("", OPENAIS),
    "makers": ("", {"extra_body": {"repeat_penalty": 1}}),
    "repeat-1.05": ("", {"extra_body": {"repeat_penalty": 1.05}}),
    "repeat-1.1": ("", {"extra_body": {"repeat_penalty": 1.1}}),
    "frequency-0.3": ("", {"frequency_penalty": 0.3}),
    "dry-0.8": ("", {"extra_body": {"dry_multiplier": 0.8}}),
    "system": (SYSTEM, {}),
}
"""System prompts, and what a request says of sampling."""


@dataclass(frozen=True)
class Got:
    """What one answer was like."""

    right: bool
    circles: bool
    endless: bool
    words: int


def main() -> None:
    parser = argparse.ArgumentParser(description="what a newcomer's first questions get")
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="KIND", help=f"of {', '.join(KINDS)} [all]")
    parser.add_argument("--seeds", type=int, default=4, help="answers to each question [4]")
    parser.add_argument(
        "--texts", action="store_true", help="ask for longer texts, in which there is no right and wrong"
    )
    options = parser.parse_args()
    print(describe("inferq", "xllamacpp"), flush=True)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="error") as stack:
        stack.start_gateway(processes=1)
        stack.start_worker("smollm2", slots=SLOTS, threads=1)  # several spin, where a machine has other work
        client = stack.client()
        print(f"{'':24}{'right':>12}{'circles':>10}{'no end':>10}{'words':>8}")
        for kind in options.kinds or KINDS:
            got = list(ask_all(client, options.seeds, *KINDS[kind], texts=options.texts))
            right = "-" if options.texts else str(sum(each.right for each in got))
            told = (sum(each.circles for each in got), sum(each.endless for each in got))
            words = sorted(each.words for each in got)[len(got) // 2]
            print(f"{kind:24}{f'{right} of {len(got)}':>12}{told[0]:>10}{told[1]:>10}{words:>8}", flush=True)


def ask_all(client: OpenAI, seeds: int, system: str, sampling: dict[str, Any], *, texts: bool) -> Iterator[Got]:
    first = [{"role": "system", "content": system}] if system else []
    asked = [(text, "") for text in TEXTS] if texts else FACTS

    def ask(number: int) -> Got:
        question, word = asked[number % len(asked)]
        messages: Any = [*first, {"role": "user", "content": question}]
        answer = client.chat.completions.create(
            model="smollm2",
            messages=messages,
            seed=number,
            max_tokens=LONG_TOKENS if texts else TOKENS,
            timeout=600,
            **sampling,
        )
        text = str(answer.choices[0].message.content).lower()
        return Got(
            right=bool(re.search(rf"\b({word})", text)),
            circles=most_repeated(text) >= OFTEN if texts else repetition(text) > HIGHEST_REPETITION,
            endless=answer.choices[0].finish_reason == "length",
            words=len(re.findall(r"\w+", text)),
        )

    with ThreadPoolExecutor(SLOTS) as pool:
        yield from pool.map(ask, range(seeds * len(asked)))


def most_repeated(text: str) -> int:
    """How often the line comes that comes most often, or the run of eight words; lines of one or two do not count."""
    words = re.findall(r"\w+", text)
    lines = Counter(line.strip() for line in text.splitlines() if len(line.split()) > 2)
    runs = Counter(tuple(words[at : at + 8]) for at in range(len(words) - 7))
    return max([0, *lines.values(), *runs.values()])


if __name__ == "__main__":
    main()
