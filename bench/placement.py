"""Conversations that find the worker which has read them, beside the same ones that are given to any, in one run.

    python -m bench.placement [--rounds N] [--workers N ...] [--json FILE [--beside]]

20 chats at once, each of a few turns, to 1 to 4 workers of the echo engine, which plays one that reads so many tokens
of a prompt a second and has as many prompts in its cache as slots: so the reading costs no CPU here, and counts the
same on a busy machine. Both sides have a Valkey, a gateway and workers of their own, and run in turns. Prints the share
of prompt tokens that were in the cache, and the time to the first token, of all turns after the first.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx

from bench.figure import Figure, add_json, keep
from bench.machine import describe, percentile, spread
from tests.stack import Process, Stack, wait_for

ROUNDS, MOST_WORKERS = 5, 4
CHATS, TURNS = 20, 6
FIRST, FURTHER = 600, 60
"""Words of the first turn's question, and of each further one's."""
ANSWER, RATE, READ_RATE = 20, 100, 1000
"""Tokens of an answer, a second of it, and a second of what is read."""
SLOTS = 8
THINKING = 0.5
"""Seconds before the next turn, on average."""
PACKAGES = ("inferq", "redis", "rq", "gunicorn", "gevent")
_UNPLACED = Path(__file__).with_name("unplaced.py")


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn after the first has met."""

    first_token: float
    """Seconds."""
    prompt: int
    cached: int


class Workers(Stack):
    """A gateway and so many workers."""

    def __init__(self, directory: Path, count: int, *, placed: bool) -> None:
        super().__init__(directory, log_level="warning", slots=SLOTS, echo_rate=RATE, echo_read_rate=READ_RATE)
        self._placed = placed
        self.start_gateway(processes=1)
        for _ in range(count):
            self._inferq("worker", "echo")
        wait_for(lambda: self.redis.hlen("iq:slots:echo") == count, "the workers' cards", 120)

    def _inferq(self, *arguments: str, **settings: Any) -> Process:
        given = {f"INFERQ_{name.upper()}": str(value) for name, value in {**self.settings, **settings}.items()}
        patched = arguments[0] == "gateway" and not self._placed
        command = (str(_UNPLACED),) if patched else ("-m", "inferq")
        return self._start([sys.executable, "-P", *command, *arguments], env={**os.environ, **given})


def main() -> None:
    parser = argparse.ArgumentParser(description="Conversations that find the worker which has read them")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each side [{ROUNDS}]")
    parser.add_argument("--workers", type=int, nargs="+", default=list(range(1, MOST_WORKERS + 1)), help="[1 to 4]")
    add_json(parser)
    given = parser.parse_args()
    figure = Figure("placement", "First token of a chat's further turns", "workers", "ms, p50", "its own", less=True)
    print(describe(*PACKAGES))
    print(f"{CHATS} chats of {TURNS} turns, {FIRST} + {FURTHER} words each, {READ_RATE} words read a second,")
    print(f"{SLOTS} slots a worker, {given.rounds} rounds in turns; median (least to most) of the rounds:\n")
    print("| workers | cached, any worker | cached, its own | first token p50, any | its own | ratio | p90 ratio |")
    print("|---|---|---|---|---|---|---|")
    for count in given.workers:
        print(f"| {count} | {' | '.join(compare(count, given.rounds, figure))} |", flush=True)
    keep(given, [figure], *PACKAGES)


def compare(workers: int, rounds: int, figure: Figure) -> list[str]:
    """The cells of one row."""
    with ExitStack() as closing:
        sides = []
        for placed in (False, True):
            folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
            sides.append(stack := Workers(folder, workers, placed=placed))
            closing.callback(stack.close)
        seen: list[list[list[Turn]]] = [[], []]
        for number in range(rounds):
            for stack, found in zip(sides, seen, strict=True):
                found.append(talk(stack, number))
    hits = [[sum(t.cached for t in turns) / sum(t.prompt for t in turns) for turns in found] for found in seen]
    p50, p90 = (
        [[percentile([t.first_token for t in turns], percent) for turns in found] for found in seen]
        for percent in (50, 90)
    )
    ratios = [[own / any_ for any_, own in zip(*figures, strict=True)] for figures in (p50, p90)]
    for name, values in zip(("any worker", "its own"), p50, strict=True):
        for value in values:
            figure.add(name, str(workers), 1000 * value)
    cells = [spread([100 * hit for hit in hits[side]], " %", 0) for side in (0, 1)]
    cells += [spread([1000 * first for first in p50[side]], " ms", 0) for side in (0, 1)]
    return cells + [spread(each) for each in ratios]


def talk(stack: Stack, number: int) -> list[Turn]:
    """A round: all chats at once."""
    with ThreadPoolExecutor(CHATS) as pool, httpx.Client(base_url=stack.url, timeout=120) as client:
        chats = [pool.submit(chat, client, random.Random(f"{number} {each}")) for each in range(CHATS)]
        return [turn for each in chats for turn in each.result()]


def chat(client: httpx.Client, chance: random.Random) -> list[Turn]:
    messages: list[dict[str, str]] = []
    turns = []
    for number in range(TURNS):
        time.sleep(chance.expovariate(1 / THINKING))
        words = FURTHER if number else FIRST
        question = " ".join(f"word{chance.randrange(10**6)}" for _ in range(words))
        messages.append({"role": "user", "content": question})
        answer, turn = ask(client, messages)
        messages.append({"role": "assistant", "content": answer})
        turns.append(turn)
    return turns[1:]


def ask(client: httpx.Client, messages: list[dict[str, str]]) -> tuple[str, Turn]:
    body = {"model": "echo", "messages": messages, "max_tokens": ANSWER, "stream": True}
    body["stream_options"] = {"include_usage": True}
    text, first, usage = "", 0.0, dict[str, Any]()
    start = time.monotonic()
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                if piece := choice["delta"].get("content"):
                    first = first or time.monotonic() - start
                    text += piece
    assert first, "no text came"
    return text, Turn(first, usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"])


if __name__ == "__main__":
    main()
