"""Conversations of many turns, with workers of both releases on one queue: only jobs of the newer ones are placed.

    python -m tests.upgrade.conversations

Two workers of this tree and one of the last tagged release serve a model; one of the newer is killed on the way, and
comes back. Every turn must be answered, once and with its text, and the older worker must have its share: it takes
whatever comes next, while the newer ones leave each other what the other one has read.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx

from shared import registry
from shared.trail import LEAST
from tests.stack import Process, wait_for
from tests.upgrade import releases
from tests.upgrade.fleet import Pair
from tests.upgrade.sides import Side

CHATS, TURNS, SLOTS = 18, 6, 2
"""More chats at once than there are slots, so that jobs wait."""
LEAST_SHARE = 0.5
"""Of a third of the turns: what the older worker must have had."""


@dataclass(slots=True)
class Held:
    """What came of them."""

    wrong: list[str] = field(default_factory=list)
    served: Counter[str] = field(default_factory=Counter)
    """Turns by the release of the worker that has answered."""
    waits: list[float] = field(default_factory=list)
    """Seconds from acceptance to the last start."""
    placed: dict[str, int] = field(default_factory=dict)


def hold(older: Side, newer: Side, folder: Path) -> Held:
    stack = Pair(folder, newer, log_level="warning", slots=SLOTS, echo_rate=100, lease=2)
    held, owners = Held(), dict[str, str]()
    try:
        stack.start_gateway()
        workers = {_start(stack, side, owners): side for side in (newer, newer, older)}
        with ThreadPoolExecutor(CHATS) as pool:
            chats = [pool.submit(_converse, stack, number, held) for number in range(CHATS)]
            wait_for(lambda: sum(held.served.values()) >= CHATS, "a turn of each", 60)
            victim = next(worker for worker, its in workers.items() if its is newer)
            victim.kill()
            victim.wait()
            _start(stack, newer, owners)
            for chat in chats:
                chat.result()
        held.served = Counter(owners[worker] for worker in held.served.elements())
        counts: Any = stack.redis.hgetall("iq:counts:echo")
        held.placed = {k.decode(): int(v) for k, v in counts.items() if k.startswith((b"placed:", b"left"))}
    finally:
        stack.close()
    return held


def _start(stack: Pair, side: Side, owners: dict[str, str]) -> Process:
    """`owners`: whose each worker is, by its name."""
    stack.side = side
    process = stack.spawn("worker", "echo")

    def ready() -> str:
        cards = (each for each in registry.workers(stack.redis) if each.card and each.pid == process.pid)
        return next((each.name for each in cards), "")

    owners[wait_for(ready, f"a worker of {side.name}", 60)] = side.name
    return process


def _converse(stack: Pair, number: int, held: Held) -> None:
    messages: list[dict[str, str]] = [{"role": "system", "content": "Be brief. " * LEAST}]
    with httpx.Client(base_url=stack.url, timeout=120) as http:
        for turn in range(TURNS):
            said = " ".join(f"{number}.{turn}.{word}" for word in range(40))
            messages.append({"role": "user", "content": said})
            answer = http.post("/v1/chat/completions", json={"model": "echo", "messages": messages})
            if answer.status_code != httpx.codes.OK:
                held.wrong.append(f"chat {number}, turn {turn}: {answer.status_code} {answer.text[:200]}")
                return
            told = json.loads(answer.text)
            if (text := told["choices"][0]["message"]["content"]) != said:
                held.wrong.append(f"chat {number}, turn {turn}: {text[:200]!r}")
            ticket: Any = stack.redis.hgetall(f"iq:job:{told['id']}")
            held.served[ticket[b"worker"].decode()] += 1
            held.waits.append((int(ticket[b"started"]) - int(ticket[b"created"])) / 1000)
            messages.append({"role": "assistant", "content": text})


def broken_promises(held: Held, older: Side) -> Iterator[str]:
    yield from held.wrong
    if (count := sum(held.served.values())) != CHATS * TURNS:
        yield f"{CHATS * TURNS - count} turns have no answer"
    if held.served[older.name] < LEAST_SHARE * CHATS * TURNS / 3:
        yield f"the older worker has answered {held.served[older.name]} turns only"
    if not held.placed.get("placed:reader"):
        yield "no turn went to the worker that had read the ones before, which proves too little"


def main() -> None:
    older, newer = releases.pair()
    with tempfile.TemporaryDirectory() as folder:
        held = hold(older, newer, Path(folder))
    print(f"{CHATS} chats of {TURNS} turns; answered by {dict(held.served)}; the longest wait {max(held.waits):.1f} s")
    print(f"of the newer workers: {held.placed}")
    broken = list(broken_promises(held, older))
    for promise in broken:
        print(f"BROKEN: {promise}")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
