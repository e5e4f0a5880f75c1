"""What a batch costs a live chat, and what the way of a batch costs its own pace, on the real model.

    python -m bench.batch [--short] [--lines 500] [--rounds 4] [--live 30]

Prints, of one worker of four slots: the time to the first token of a live chat, alone and while the batch runs, beside
one step of the engine, which a slot is waited for; and the lines a second of the batch beside those of the same
requests sent by a client that keeps as many under way, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI, OpenAI

from bench.machine import describe, percentile, spread
from tests.batches import begin, counts, end, request
from tests.calls import said
from tests.stack import running, wait_for

SLOTS, UNDER_WAY = 4, 8
"""Of the worker, and requests that the client keeps waiting for: as many as keep all slots at work."""
STEP_TOKENS = 128
"""Prompt tokens of one step of the engine, `INFERQ_BATCH_SIZE`."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--live", type=int, default=30, help="chats whose first token is timed")
    parser.add_argument("--short", action="store_true", help="few of all, in under four minutes")
    asked = parser.parse_args()
    if asked.short:
        asked.lines, asked.rounds, asked.live = 40, 2, 8
    print(describe("inferq", "xllamacpp", "openai"))
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="warning") as stack:
        stack.start_gateway(processes=1)
        stack.start_worker("smollm2", slots=SLOTS, as_is=1)
        client = stack.client(timeout=600)
        first_tokens(client, 5)
        alone = first_tokens(client, asked.live)
        step = [long - statistics.median(alone) for long in first_tokens(client, 5, words=STEP_TOKENS)]

        lines = [line(n) for n in range(asked.lines)]
        batch_id = begin(client, map(json.dumps, lines))
        wait_for(lambda: counts(client.batches.retrieve(batch_id))[1], "the first line's end", 600)
        beside = first_tokens(client, asked.live, pause=0.5)
        if counts(client.batches.retrieve(batch_id))[1] == len(lines):
            raise SystemExit("the batch ended while it was measured: take more lines")
        end(client, batch_id, 3600)
        print(f"time to first token of a live chat, alone: {told(alone)}")
        print(f"the same while a batch of {len(lines)} lines runs: {told(beside)}")
        more = statistics.median(beside) - statistics.median(alone)
        print(f"more, median: {more:.0f} ms; a step of {STEP_TOKENS} prompt tokens: {spread(step, ' ms', 0)}")

        paces: dict[str, list[float]] = {"batch": [], "client": []}
        for turn in range(2 * asked.rounds):
            fresh = [line(n + (turn + 1) * len(lines)) for n in range(len(lines))]  # nobody has read before
            if turn % 4 in (0, 3):  # each goes first in every other round
                paces["batch"].append(len(lines) / by_batch(client, fresh))
            else:
                paces["client"].append(len(lines) / asyncio.run(by_client(stack.async_client(), fresh)))
        for name, found in paces.items():
            print(f"{len(lines)} lines by {name}, {asked.rounds} rounds in turns: {spread(found, '/s')}")
        ratios = [ours / theirs for ours, theirs in zip(*paces.values(), strict=True)]
        print(f"the batch's pace beside the client's: {spread(ratios)}")


def line(number: int) -> dict[str, Any]:
    text = f"Tell me something about the number {number}."
    return request(f"r{number}", text, model="smollm2", max_tokens=24, temperature=0, seed=1)


def told(times: list[float]) -> str:
    return f"{spread(times, ' ms', 0)}, p95 {percentile(times, 95):.0f} ms"


def first_tokens(client: OpenAI, count: int, words: int = 0, pause: float = 0.0) -> list[float]:
    """Milliseconds from each request to its first text, one after the other, of prompts that begin differently."""
    times = []
    for number in range(count):
        text = f"{time.monotonic_ns()} {number} " + "and " * words
        begun = time.perf_counter()
        with client.chat.completions.create(
            model="smollm2", messages=said(text), max_tokens=8, temperature=0, stream=True
        ) as stream:
            for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    times.append((time.perf_counter() - begun) * 1000)
                    break
            for _ in stream:
                pass
        time.sleep(pause)
    return times


def by_batch(client: OpenAI, lines: list[dict[str, Any]]) -> float:
    """Seconds from the request for the batch to its results."""
    begun = time.perf_counter()
    batch = end(client, begin(client, map(json.dumps, lines)), 3600)
    assert counts(batch) == (len(lines), len(lines), 0)
    return time.perf_counter() - begun


async def by_client(client: AsyncOpenAI, lines: list[dict[str, Any]]) -> float:
    """Seconds from the first request to the last answer."""
    turns = asyncio.Semaphore(UNDER_WAY)

    async def ask(body: dict[str, Any]) -> None:
        async with turns:
            await client.chat.completions.create(**body)

    begun = time.perf_counter()
    async with client:
        await asyncio.gather(*(ask(each["body"]) for each in lines))
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
