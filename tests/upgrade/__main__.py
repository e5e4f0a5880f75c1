"""Two neighbouring releases side by side: their processes are replaced one by one under load, up, back and up again.

    python -m tests.upgrade [--requests 500] [--mixed 20] [--seed S] [--against COMMIT]

The older side is the last tagged release of another version, and the newer one this tree. With `--against made-up`, or
in a clone that lacks the release, the older side is this tree, and the newer one is made up, see newer.py. Whatever was
accepted, and not cancelled by its client, must be answered exactly once with exactly its text. Some ask the newer one's
gateways for what the older one does not know: calls of tools and JSON, log probabilities, messages, gaps and tokens. It
must not compute them, and tells nothing of them. Each release must find the other one in order, and the newer one clear
in the end what the older one has left.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from itertools import product
from random import Random

import click

from inferq.table import align
from tests.chaos import report
from tests.upgrade import releases
from tests.upgrade.run import Upgrade, run
from tests.upgrade.sides import THIS, Side
from tests.upgrade.witness import CONTINUED, SUBMITTED


@click.command()
@click.option("--requests", default=500, help="how many at least")
@click.option("--mixed", default=20.0, help="seconds in which both serve, on the way up and on the way back")
@click.option("--seed", type=int, help="of an earlier run, to draw the same again")
@click.option("--against", default="", help="commit of the older side, or `made-up`")
def main(requests: int, mixed: float, seed: int | None, against: str) -> None:
    """Replace one release by another under load."""
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    sides = releases.pair(against)
    print(f"seed {seed}: {' -> '.join(sides[step].name for step in (0, 1, 0, 1))}", flush=True)
    upgrade = run(*sides, Random(seed), requests=requests, mixed=mixed)
    rows = [("HANDED OVER", "FROM", "TO", "JOBS")]
    rows += [(*what, str(count)) for what, count in sorted(upgrade.handovers.items())]
    print(report.table(upgrade.outcome, lease=0), align(rows), sep="\n\n")
    print(f"\nof jobs that only the newer release knows the older one said: {dict(upgrade.told) or 'nothing'}")
    broken = list(broken_promises(upgrade, sides))
    for promise in broken:
        print(f"\nBROKEN: {promise}")
    print(f"\nseed {seed}: " + (f"{len(broken)} promises broken" if broken else "every promise kept"))
    sys.exit(1 if broken else 0)


def broken_promises(upgrade: Upgrade, sides: tuple[Side, Side]) -> Iterator[str]:
    """What makes the run a failure."""
    yield from report.broken_promises(upgrade.outcome, least_hits=len(upgrade.outcome.faults) // 3)
    if not upgrade.told["503 other_version"] and sides[0] is not THIS:
        yield "nobody asked the older release for what it does not know, which proves too little"
    older, newer = (side.name for side in sides)
    for what, (one, other) in product((SUBMITTED, CONTINUED), ((older, newer), (newer, older))):
        if not upgrade.handovers[what, one, other]:
            yield f"no job was {what} from {one} to {other}, which proves too little"


if __name__ == "__main__":
    main()
