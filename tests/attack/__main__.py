"""Attacks: hostile, careless and greedy clients do their worst, one after the other, and a victim measures.

    python -m tests.attack [NAME ...] [--seconds 12] [--short] [--list]

Whatever they do, a first token of somebody else comes within two seconds (as many times that as the machine is slower
than ours, or fifty times what it takes at rest, where that is more), nobody else's request fails, no process ends, no
gateway takes 300 MB more than it has idle, and it is within 100 MB of that a minute later. An attack that hits nothing
proves nothing, and fails; it goes on until it has, ten times as long as it was to at most.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from tests.attack import (
    batches,
    bodies,
    connections,
    engines,
    files,
    grammars,
    jobs,
    readers,
    records,
    scores,
    stored,
    strangers,
    tokenizers,
    tools,
    vectors,
)
from tests.attack.judgement import HEAD, Outcome, told
from tests.attack.plan import ATTACKS
from tests.attack.run import play

KINDS = (
    connections,
    readers,
    records,
    bodies,
    jobs,
    engines,
    grammars,
    tools,
    scores,
    tokenizers,
    strangers,
    files,
    stored,
    batches,
    vectors,
)
SHORT = 3.0
"""Seconds of an attack in short form."""


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*ATTACKS]))
@click.option("--seconds", default=12.0, help="of each attack")
@click.option("--short", is_flag=True, help=f"{SHORT:g} seconds of each")
@click.option("--list", "listed", is_flag=True, help="say what there is")
def main(names: Sequence[str], seconds: float, short: bool, listed: bool) -> None:
    """Attack by NAME, or in every way there is."""
    chosen = [ATTACKS[name] for name in names] or [*ATTACKS.values()]
    if listed:
        for attack in chosen:
            print(f"{attack.name:26} {attack.exploits}")
        return
    print(HEAD, flush=True)
    broken: list[Outcome] = []
    for outcome in play(chosen, SHORT if short else seconds):
        print(told(outcome), flush=True)
        broken += [outcome] if any(outcome.faults()) else []
    print(
        "\n".join(
            ["", *map(told, broken), f"{len(chosen)} attacks: {f'{len(broken)} failed' if broken else 'it stood'}"]
        )
    )
    if broken:
        names = " ".join(outcome.attack.name for outcome in broken)
        print(f'again: make attack ARGS="{"--short" if short else f"--seconds {seconds:g}"} {names}"')
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
