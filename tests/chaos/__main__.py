"""Chaos: everything is killed, frozen, stopped and cut at random, while clients ask.

    python -m tests.chaos [--requests 2000] [--seed S] [--lease 4] [--real 60]

Whatever was accepted, and not cancelled by its client, must be answered exactly once with exactly its text. What is
killed is started again, as a supervisor would. The same seed asks for the same and draws the same faults.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from random import Random

import click

from tests.chaos import plan, report, scenes
from tests.chaos.run import Outcome, run


@click.command()
@click.option("--requests", default=2000, help="how many, to echo engines")
@click.option("--real", default=60, help="how many, to SmolLM2")
@click.option("--seed", type=int, help="of an earlier run, to draw the same again")
@click.option("--lease", default=4.0, help="seconds")
def main(requests: int, real: int, seed: int | None, lease: float) -> None:
    """Break everything while clients ask."""
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    print(f"seed {seed}")
    broken: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        scene = scenes.echoes(lease, Path(folder))
        outcome = run(scene, plan.echoes(Random(seed), requests, tuple(scene.crews)), Random(seed))
    show("echo", outcome, lease)
    broken += report.broken_promises(outcome, least_hits=requests // 100)
    broken += report.slow_recoveries(outcome, lease)
    if real:
        scene = scenes.smollm2(lease)
        asked = plan.rhymes(Random(seed), real, "smollm2")
        calm = run(replace(scene, course=scenes.calm), asked, Random(seed), patient=False)
        known = [replace(client.request, expected=client.text) for client in calm.clients]
        outcome = run(scene, known, Random(seed), patient=False)
        show("SmolLM2", outcome, lease)
        broken += report.broken_promises(outcome, least_hits=real // 10)
    for promise in broken:
        print(f"\nBROKEN: {promise}")
    print(f"\nseed {seed}: " + (f"{len(broken)} promises broken" if broken else "every promise kept"))
    sys.exit(1 if broken else 0)


def show(name: str, outcome: Outcome, lease: float) -> None:
    print(f"\n== {name}\n{report.table(outcome, lease)}", flush=True)


if __name__ == "__main__":
    main()
