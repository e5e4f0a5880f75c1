"""What it costs that the archive's index in Redis is in the append-only file before anybody is told.

    python -m bench.kept [--rounds 7] [--changes 400]

Things are changed, one at a time and 16 side by side, with and without that in turns. Prints milliseconds of a change
and the scripts and waits that Redis was given for each, medians with their spread over the rounds.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402  # what is imported is to be patched
import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gevent.pool import Pool

from bench.machine import describe, spread
from gateway.archive.redis_index import RedisIndex
from gateway.archive.thing import Thing, ThingKind
from gateway.durability import Confirmer
from shared.loops import Loops
from shared.store import connect
from tests.stack import Stack, running

AT_ONCE = (1, 16)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--changes", type=int, default=400)
    given = parser.parse_args()
    print(describe("gevent", "redis"))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder)) as stack:
        url, loops = str(stack.settings["redis_url"]), Loops()
        index, confirmer = RedisIndex(connect(url), time.time), Confirmer(connect(url, retries=0), loops)
        confirmer.start()
        ways: dict[str, Callable[[str], bool]] = {"told at once": index.is_kept, "told when kept": confirmer.is_kept}
        for number in range(max(AT_ONCE)):
            index.add([Thing(f"conv_{number}", ThingKind.CONVERSATION, "owner", 1)])
        for at_once in AT_ONCE:
            found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
            for _ in range(given.rounds):
                for way, index.is_kept in ways.items():
                    found[way].append(change(stack, index, given.changes, at_once))
            for way, rounds in found.items():
                times, commands = zip(*rounds, strict=True)
                print(f"{at_once} at a time, {way}: {spread(times, ' ms')}, {spread(commands)} scripts and waits")
    return 0


def change(stack: Stack, index: RedisIndex, count: int, at_once: int) -> tuple[float, float]:
    """Milliseconds that one takes, and the commands of one."""

    def work(number: int) -> None:
        for turn in range(count // at_once):
            old = index.get("owner", ThingKind.CONVERSATION, f"conv_{number}")
            assert index.change(old, {"metadata": {"turn": str(turn)}}, 0)

    before, started, pool = commands(stack), time.perf_counter(), Pool(at_once)
    for number in range(at_once):
        pool.spawn(work, number)
    pool.join(raise_error=True)
    taken = time.perf_counter() - started
    return 1000 * taken / (count // at_once), (commands(stack) - before) / count


def commands(stack: Stack) -> int:
    told: Any = stack.redis.info("commandstats")
    return sum(int(told[name]["calls"]) for name in ("cmdstat_evalsha", "cmdstat_waitaof") if name in told)


if __name__ == "__main__":
    sys.exit(main())
