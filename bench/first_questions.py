"""What a newcomer's first questions get from the built-in model: right answers, circles, and answers that do not end.

    python -m bench.first_questions [--seeds N] [--texts|--forms] [--show] [KIND ...]

Ten easy facts, N seeds each [4], asked as a client does that says nothing of sampling; at OpenAI's own defaults, which
the model does not recommend; at its makers' values without the penalty that inferq adds; with other remedies against
circles; and with another short system prompt in the place of the template's own. An answer is *right* where it has the
word, goes in *circles* where more than a quarter of its runs of four words came before in it, and has *no end* where it
is cut at 160 tokens. With `--texts` six longer texts are asked for, such as a poem, of up to 600 tokens: there a circle
is a line or a run of eight words that comes four times. With `--forms` it is asked for what has a form, in which the
same comes again and again and has to: code, JSON, a call of a tool, a list of numbers, a sentence to repeat; *right* is
what has it. The last column is the CPU time that the engine took a token, its prompt with it, on one thread.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from openai import OpenAI

from bench.forms import FORMS
from bench.machine import cpu, describe
from tests.coherence.judge import HIGHEST_REPETITION, repetition
from tests.stack import children, running

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
TOKENS, LONG_TOKENS, SLOTS = 160, 600, 6
OFTEN = 4
"""Times that a line or a run of words comes in a long text that goes in circles."""
SYSTEM = "You are a helpful assistant. Answer briefly and truthfully."
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "defaults": ("", {}),
    "openai": ("", {"temperature": 1, "top_p": 1, "extra_body": {"repeat_penalty": 1}}),
    "makers": ("", {"extra_body": {"repeat_penalty": 1}}),
    "repeat-1.1": ("", {"extra_body": {"repeat_penalty": 1.1}}),
    "frequency-0.3": ("", {"frequency_penalty": 0.3}),
    "both": ("", {"frequency_penalty": 0.2, "extra_body": {"repeat_penalty": 1.1}}),
    "temperature-0.5": ("", {"temperature": 0.5}),
    "window-256": ("", {"extra_body": {"repeat_last_n": 256}}),
    "dry-0.8": ("", {"extra_body": {"dry_multiplier": 0.8}}),
    "system": (SYSTEM, {}),
}
"""System prompts, and what a request says of sampling."""


@dataclass(frozen=True)
class Question:
    text: str
    right: Callable[[Any], bool]
    """Of the choice that came."""
    more: dict[str, Any] = field(default_factory=dict)
    """What the request says beside it."""


@dataclass(frozen=True)
class Got:
    """What one answer was like."""

    question: str
    text: str
    right: bool
    circles: bool
    endless: bool
    tokens: int


def main() -> None:
    parser = argparse.ArgumentParser(description="what a newcomer's first questions get")
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="KIND", help=f"of {', '.join(KINDS)} [all]")
    parser.add_argument("--seeds", type=int, default=4, help="answers to each question [4]")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--texts", action="store_true", help="ask for longer texts, where there is no right and wrong")
    asked.add_argument("--forms", action="store_true", help="ask for what has a form")
    parser.add_argument("--show", action="store_true", help="print every answer")
    options = parser.parse_args()
    questions = choose_questions(texts=options.texts, forms=options.forms)
    print(describe("inferq", "xllamacpp"), flush=True)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="error") as stack:
        stack.start_gateway(processes=1)
        worker = stack.start_worker("smollm2", slots=SLOTS, threads=1)  # several spin, where a machine has other work
        (host,) = children(worker)
        client = stack.client()
        print(f"{'':24}{'right':>12}{'circles':>10}{'no end':>10}{'words':>8}{'ms a token':>12}")
        for kind in options.kinds or KINDS:
            before = cpu(host)
            got = []
            for each in ask_all(client, options.seeds, *KINDS[kind], questions, long=options.texts):
                got.append(each)
                if options.show:
                    told = " (circles)" * each.circles + " (no end)" * each.endless + " (right)" * each.right
                    print(f"\n== {kind}{told}: {each.question}\n{each.text}", flush=True)
            took = (cpu(host) - before) / sum(each.tokens for each in got) * 1000
            right = "-" if options.texts else str(sum(each.right for each in got))
            counts = (sum(each.circles for each in got), sum(each.endless for each in got))
            words = sorted(len(re.findall(r"\w+", each.text)) for each in got)[len(got) // 2]
            row = f"{kind:24}{f'{right} of {len(got)}':>12}{counts[0]:>10}{counts[1]:>10}{words:>8}{took:>12.1f}"
            print(row, flush=True)


def choose_questions(*, texts: bool, forms: bool) -> list[Question]:
    if forms:
        return [Question(*form) for form in FORMS]
    if texts:
        return [Question(text, lambda _: False) for text in TEXTS]
    return [Question(text, partial(_has, word)) for text, word in FACTS]


def _has(word: str, choice: Any) -> bool:
    return bool(re.search(rf"\b({word})", str(choice.message.content).lower()))


def ask_all(
    client: OpenAI, seeds: int, system: str, sampling: dict[str, Any], questions: Sequence[Question], *, long: bool
) -> Iterator[Got]:
    first = [{"role": "system", "content": system}] if system else []

    def ask(number: int) -> Got:
        question = questions[number % len(questions)]
        messages: Any = [*first, {"role": "user", "content": question.text}]
        answer: Any = client.chat.completions.create(
            model="smollm2",
            messages=messages,
            seed=number,
            max_tokens=LONG_TOKENS if long else TOKENS,
            timeout=600,
            **question.more,
            **sampling,
        )
        choice = answer.choices[0]
        text = str(choice.message.content or [call.function for call in choice.message.tool_calls or ()])
        return Got(
            question.text,
            text,
            right=question.right(choice),
            circles=most_repeated(text) >= OFTEN if long else repetition(text) > HIGHEST_REPETITION,
            endless=choice.finish_reason == "length",
            tokens=answer.usage.completion_tokens,
        )

    with ThreadPoolExecutor(SLOTS) as pool:
        yield from pool.map(ask, range(seeds * len(questions)))


def most_repeated(text: str) -> int:
    """How often the line comes that comes most often, or the run of eight words; lines of one or two do not count."""
    words = re.findall(r"\w+", text := text.lower())
    lines = Counter(line.strip() for line in text.splitlines() if len(line.split()) > 2)
    runs = Counter(tuple(words[at : at + 8]) for at in range(len(words) - 7))
    return max([0, *lines.values(), *runs.values()])


if __name__ == "__main__":
    main()
