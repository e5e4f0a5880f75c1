"""A soak: mixed load for an hour, one client in twenty hostile, and nothing grows.

    python -m tests.soak [--minutes 60] [--clients 40] [--seed S]

Honest clients must get every answer right. Of each process the memory, the files and the threads, of the gateway the
greenlets, and of Redis the keys and the memory must be flat: over the second half the median of the slopes of all pairs
of measurements must make no rise beyond noise, which is three deviations from that line, or beyond a slack for what is
allocated in steps. When all have gone, `inferq check` must find nothing, and what there was before is what there is.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from random import Random

import click

from tests.attack import bodies, connections, engines, jobs, readers, records, strangers
from tests.soak.run import Outcome, play

KINDS = (connections, readers, records, bodies, jobs, engines, strangers)
"""Their attacks are those that hostile clients make."""


@click.command()
@click.option("--minutes", default=60.0, help="of load; 10 is a short run, 2 shows that it works")
@click.option("--clients", default=40, help="at one time, of whom one in twenty is hostile")
@click.option("--seed", type=int, help="of an earlier run, to draw the same again")
def main(minutes: float, clients: int, seed: int | None) -> None:
    """Load everything for long, and see that nothing grows."""
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    print(f"seed {seed}, {minutes:g} minutes, {clients} clients", flush=True)
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        outcome = asyncio.run(play(Path(folder), minutes * 60, clients, Random(seed)))
    broken = tell(outcome)
    print(f"\nseed {seed}: " + (f"{broken} promises broken" if broken else "flat, and every answer right"))
    sys.exit(1 if broken else 0)


def tell(outcome: Outcome) -> int:
    """Print what came of it; how much of it must not be."""
    print("\nhonest requests: " + ", ".join(f"{kind} {count}" for kind, count in sorted(outcome.fates.items())))
    print("hostile ones hit: " + ", ".join(f"{name} {count}" for name, count in sorted(outcome.hits.items())))
    print(f"refused for a while: {outcome.refused}\n")
    broken = list(outcome.broken)
    for line, flat in outcome.gauges.rows():
        print(line)
        broken += [] if flat else [f"it grows: {line}"]
    for promise in broken[:20]:
        print(f"\nBROKEN: {promise}")
    return len(broken)


if __name__ == "__main__":
    main()
