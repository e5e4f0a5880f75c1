"""The scripts against a model of what they promise, step by step, under resends, lost answers and restarts.

    python -m tests.model [--steps 100000] [--seed S] [--no-shrink]
    python -m tests.model --mutants [--runs 5] [--steps 5000] [--seed S] [--only TEXT]

After each step the whole of Redis is compared. With --mutants the scripts get one fault at a time, and each must be
found within so many steps. A seed draws the same again.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tests.model.mutants import MUTANTS
from tests.model.pair import Pair
from tests.model.run import explore, steps_until_found

MOST_LINES, WIDEST = 20, 300
"""Of a failure, told briefly."""


@click.command()
@click.option("--steps", type=int, help="commands that are compared; with --mutants, in which each must be found")
@click.option("--seed", type=int, help="of an earlier run, to draw the same again")
@click.option("--shrink/--no-shrink", default=True, help="look for the shortest way to what is wrong, which takes long")
@click.option("--mutants", is_flag=True, help="put faults into the scripts")
@click.option("--runs", default=5, help="for each mutant")
@click.option("--only", default="", help="mutants whose names have this in them")
def main(steps: int | None, seed: int | None, shrink: bool, mutants: bool, runs: int, only: str) -> None:
    """Compare the scripts with the model."""
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    print(f"seed {seed}", flush=True)
    with pair() as both:
        steps = steps or (5000 if mutants else 100_000)
        sound = hunt(both, seed, runs, steps, only) if mutants else compare(both, seed, steps, shrink)
    sys.exit(not sound)


@contextmanager
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory() as folder:
        both = Pair(Path(folder))
        try:
            yield both
        finally:
            both.close()


def compare(both: Pair, seed: int, steps: int, shrink: bool) -> bool:
    start = time.monotonic()
    try:
        explore(both, seed, steps, shrink=shrink)
    except Exception as exc:
        exc.add_note(f"seed {seed}, step {both.broken_at or both.steps}: {brief(exc)}")  # after the way to it
        raise
    print(
        f"{both.steps} steps alike in {time.monotonic() - start:.0f} s: {both.resent} commands sent again,"
        f" {both.proxy.lost} answers lost, {both.restarts} restarts of Valkey, {both.audits} audits"
    )
    if both.resent and both.proxy.lost and both.restarts:
        return True
    print("its faults have hit too little")
    return False


def brief(exc: Exception) -> str:
    """What is wrong, for the end of a log that may be cut: its first lines, and the beginning of each."""
    lines = f"{type(exc).__name__}: {exc}".splitlines()
    return "\n".join(line[:WIDEST] for line in lines[:MOST_LINES])


def hunt(both: Pair, seed: int, runs: int, steps: int, only: str) -> bool:
    sound = True
    print(f"| fault | found, of {runs} | steps until then, median |\n|---|---|---|")
    for mutant in (mutant for mutant in MUTANTS if only in mutant.name):
        both.edits.fault = (mutant.script, mutant.text, mutant.instead)
        counts = [steps_until_found(both, seed + run, steps) for run in range(runs)]
        found = sorted(count for count in counts if count is not None)
        median = f"{found[len(found) // 2]:,}" if found else "-"
        print(f"| {mutant.name} | {len(found)} | {median} |", flush=True)
        sound = sound and len(found) == runs
    return sound


if __name__ == "__main__":
    main()
