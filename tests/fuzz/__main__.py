"""Spoiled model files: each is loaded, or refused in words.

    python -m tests.fuzz [--files 20000] [--loads 60] [--seed S]

No crash, no hang, and no allocation of more than a gigabyte, in every reader; a sample of those that a reader lets pass
is loaded by the engines and asked for a few tokens. The same seed draws the same files.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections import Counter
from pathlib import Path

import click

from tests.fuzz.hosts import loads
from tests.fuzz.mutation import seeds
from tests.fuzz.verdicts import LIMIT, Verdict, drawn, verdicts


@click.command()
@click.option("--files", default=20_000, help="how many to read")
@click.option("--loads", "sample", default=60, help="how many of those that pass to load")
@click.option("--seed", type=click.IntRange(0), help="of an earlier run, to draw the same again")
def main(files: int, sample: int, seed: int | None) -> None:
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    print(f"seed {seed}")
    told = list(verdicts(range(seed * 1_000_000, seed * 1_000_000 + files)))
    print(table(told))
    passed = [verdict.number for verdict in told if verdict.outcome == "read"]
    problems = [f"mutant {verdict.number}: {verdict.outcome}" for verdict in told if verdict.faulty]
    if len(passed) * 3 < files:
        problems.append(f"only {len(passed)} of {files} pass their reader: this tests too little")
    problems += load(passed[:: max(1, len(passed) // max(1, sample))][:sample])
    for problem in problems:
        print(f"\nBROKEN: {problem}")
    print(f"\nseed {seed}: " + (f"{len(problems)} problems" if problems else "each was read or refused in words"))
    sys.exit(1 if problems else 0)


def table(told: list[Verdict]) -> str:
    lines = [f"\n{'reader':10} {'read':>7} {'refused':>8} {'faults':>7}"]
    for reader in sorted({verdict.reader for verdict in told}):
        mine = [verdict for verdict in told if verdict.reader == reader]
        read, faults = sum(v.outcome == "read" for v in mine), sum(v.faulty for v in mine)
        lines.append(f"{reader:10} {read:7} {len(mine) - read - faults:8} {faults:7}")
    return "\n".join(lines)


def load(numbers: list[int]) -> list[str]:
    """Load these, print what came of it, and return what must not be."""
    problems: list[str] = []
    outcomes: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # where repacked mutants go
        sound, path = seeds(Path(folder)), Path(folder) / "mutant"
        for number in numbers:
            seed, content = drawn(number, sound)
            path.write_bytes(content)
            for engine, (outcome, peak) in loads(seed, path).items():
                outcomes[engine, outcome] += 1
                if outcome == "host died":
                    problems.append(f"mutant {number} ({seed.reader}) killed the host of {engine}")
                if peak > LIMIT:
                    problems.append(f"mutant {number} ({seed.reader}) took {peak >> 20} MB in {engine}")
    for (engine, outcome), count in sorted(outcomes.items()):
        print(f"{engine:14} {outcome:18} {count:5}")
    return problems


if __name__ == "__main__":
    main()
