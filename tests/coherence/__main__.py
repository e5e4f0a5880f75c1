"""Does a client that sets no temperature get coherent English from the built-in model?

    python -m tests.coherence [--seeds N] [--show]

Ten questions in turns, a seed each. They are asked as clients do that know nothing of sampling, and then at OpenAI's
temperature of 1, which was the default before; then by the README's own two calls and by `inferq chat`. The judge is
tried on plain answers that were written for the questions, and on the same words in a random order. Ends with 1 where
fewer than nine in ten of what the defaults give are coherent, or where the judge does not tell the kinds apart.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from openai import OpenAI
from tqdm import tqdm

from bench.machine import describe
from inferq import pull
from shared import catalogue
from tests.coherence.judge import HIGHEST_REPETITION, HIGHEST_SURPRISE, Judge, Verdict
from tests.coherence.judge_model import JudgeModel
from tests.coherence.questions import QUESTIONS, WRITTEN
from tests.commands import output
from tests.stack import Stack, running

SLOTS, TOKENS = 4, 160
SHARE = 0.9
"""Of what the defaults give, at least so much has to be coherent."""
README = Path(__file__).parents[2] / "README.md"

Answers = list[tuple[str, str]]
"""Questions, and what was answered."""


def main() -> None:
    parser = argparse.ArgumentParser(description="coherent English from the built-in model")
    parser.add_argument("--seeds", type=int, default=20, help="answers at each setting [20]")
    parser.add_argument("--show", action="store_true", help="print every answer")
    options = parser.parse_args()
    path = pull.provide(catalogue.resolve("smollm2")).path
    assert path is not None
    print(describe("inferq", "xllamacpp"), flush=True)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="warning") as stack:
        stack.start_gateway(processes=1)
        stack.start_worker("smollm2", slots=SLOTS, threads=1)  # several spin, where a machine has other work
        client = stack.client()
        kinds: dict[str, Answers] = {
            "defaults": ask_all(client, options.seeds),
            "README and inferq chat": first_calls(stack),
            "temperature 1": ask_all(client, options.seeds, temperature=1, top_p=1, extra_body={"repeat_penalty": 1}),
            "written": list(zip(QUESTIONS, WRITTEN, strict=True)),
            "in random order": list(shuffled()),
        }
        judge = Judge(client, JudgeModel(path))
        verdicts = {
            kind: [judge.judge(*answer) for answer in tqdm(answers, desc=kind, disable=None)]
            for kind, answers in kinds.items()
        }
    for kind, answers in kinds.items():
        for (question, answer), verdict in zip(answers, verdicts[kind], strict=True):
            if options.show or (kind in ("defaults", "README and inferq chat") and not verdict.coherent):
                print(f"\n{kind}, {verdict}: {question}\n{answer}")
    report(verdicts)
    sys.exit(not all(holds(kind, found) for kind, found in verdicts.items()))


def ask_all(client: OpenAI, seeds: int, **sampling: Any) -> Answers:
    def ask(seed: int) -> tuple[str, str]:
        question = QUESTIONS[seed % len(QUESTIONS)]
        answer = client.chat.completions.create(
            model="smollm2",
            messages=[{"role": "user", "content": question}],
            seed=seed,
            max_tokens=TOKENS,
            timeout=600,
            **sampling,
        )
        return question, str(answer.choices[0].message.content)

    with ThreadPoolExecutor(SLOTS) as pool:
        return list(tqdm(pool.map(ask, range(seeds)), desc="answers", total=seeds, disable=None))


def first_calls(stack: Stack) -> Answers:
    """As the README has them, but for the address; without a seed."""
    readme = README.read_text()
    code, command = (re.search(pattern, readme, re.S) for pattern in (r"```python\n(.*?)```", r"```sh\n(curl .*?)```"))
    assert code
    assert command
    script, line = (found[1].replace("http://127.0.0.1:8000", stack.url) for found in (code, command))
    answers = [(QUESTIONS[0], printed([sys.executable, "-c", script])) for _ in range(3)]
    for _ in range(3):
        reply = json.loads(printed(["sh", "-c", line]))
        answers.append((QUESTIONS[1], reply["choices"][0]["message"]["content"]))
    for seed, question in enumerate(QUESTIONS[:4]):
        told = output("chat", "-m", "smollm2", "--seed", str(seed), "-n", str(TOKENS), given=f"{question}\n")
        answers.append((question, told.strip()))
    return answers


def printed(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout


def shuffled() -> Iterator[tuple[str, str]]:
    dice = random.Random(1)
    for question, answer in zip(QUESTIONS[1:], WRITTEN[1:], strict=True):  # the first has one word
        words = answer.split()
        dice.shuffle(words)
        yield question, " ".join(words)


def report(verdicts: dict[str, list[Verdict]]) -> None:
    print(f"\ncoherent: surprise at most {HIGHEST_SURPRISE}, repetition at most {HIGHEST_REPETITION}; median (worst)")
    print(f"{'':24}{'coherent':>10}{'surprise':>14}{'repetition':>14}{'perplexity':>18}")
    for kind, found in verdicts.items():
        good = f"{sum(verdict.coherent for verdict in found)} of {len(found)}"
        columns = [
            f"{sorted(values)[len(values) // 2]:.2f} ({max(values):.2f})"
            for values in zip(*((v.surprise, v.repetition, v.perplexity) for v in found), strict=True)
        ]
        print(f"{kind:24}{good:>10}{columns[0]:>14}{columns[1]:>14}{columns[2]:>18}")


def holds(kind: str, found: Sequence[Verdict]) -> bool:
    share = sum(verdict.coherent for verdict in found) / len(found)
    match kind:
        case "written":
            return share == 1
        case "in random order":
            return share == 0
        case "temperature 1":
            return share <= 0.5
        case _:
            return share >= SHARE


if __name__ == "__main__":
    main()
