"""Chaos: everything is killed, frozen, stopped, cut off and put back at random, while clients ask.

    python -m tests.chaos [--requests 2000] [--seeds 5 | --seed S ...] [--lease 4] [--real 60] [--prefixes 300]
        [--adapters 200] [--demand 300]

Whatever was accepted, and not cancelled by its client, must be answered exactly once with exactly its text. What is
killed is started again, as a supervisor would. The same seed asks for the same and draws the same faults.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import click

from tests.chaos import plan, report, scenes
from tests.chaos.demand_faults import DEMAND
from tests.chaos.faults import Fault
from tests.chaos.run import Outcome, Scene, run


@click.command()
@click.option("--requests", default=2000, help="how many, to echo engines")
@click.option("--real", default=60, help="how many, to SmolLM2")
@click.option("--prefixes", default=300, help="how many, to tiny models whose snapshots are hurt")
@click.option("--adapters", default=200, help="how many, to a tiny model and its adapters, turns of conversations")
@click.option("--demand", default=300, help="how many, to models that machines load when they are asked for")
@click.option("--seed", "chosen", type=int, multiple=True, help="of an earlier run, to draw the same again; repeatable")
@click.option("--seeds", default=1, help="how many runs, one after the other")
@click.option("--lease", default=4.0, help="seconds")
def main(chosen: Sequence[int], seeds: int, lease: float, **counts: int) -> None:
    """Break everything while clients ask."""
    broken: dict[int, list[str]] = {}
    outcomes: dict[str, list[Outcome]] = {}
    drawn = [*chosen, *(secrets.randbelow(1_000_000) for _ in range(seeds - len(chosen)))]
    for seed in drawn:
        print(f"\n== seed {seed}", flush=True)
        for name, outcome, promises in parts(seed, lease, **counts):
            outcomes.setdefault(name, []).append(outcome)
            print(f"\n{name}: {report.table(outcome, lease)}", flush=True)
            for promise in promises:
                print(f"\nBROKEN with seed {seed}: {promise}", flush=True)
                broken.setdefault(seed, []).append(f"{name}: {promise}")
    for name, several in outcomes.items():
        if len(several) > 1:
            print(f"\n== all {len(several)} seeds\n\n{name}: {report.table(report.summed(several), lease)}")
    arguments = " ".join(f"--{name} {count}" for name, count in counts.items())
    print(report.verdict(drawn, broken, f"{arguments} --lease {lease:g}"))
    sys.exit(1 if broken else 0)


def parts(
    seed: int, lease: float, requests: int = 0, real: int = 0, prefixes: int = 0, adapters: int = 0, demand: int = 0
) -> Iterator[tuple[str, Outcome, list[str]]]:
    """What came of each part of a run, and which promises it broke.

    When a gateway dies its clients come again, which hides what it had missed. So a quarter asks one that lives.
    """
    behind = requests // 4
    indexes = Random(seed).sample(("", "redis"), 2)
    if requests:
        yield "everything is hurt", *echo(requests - behind, seed, lease, scenes.EVERYTHING, indexes[0])
    if behind:
        yield "all but the gateway is hurt", *echo(behind, seed, lease, scenes.BEHIND_THE_GATEWAY, indexes[1])
    if real:
        yield "SmolLM2, everything is hurt", *smollm2(real, seed, lease)
    if prefixes:
        yield "what was read of prompts is hurt", *readers(prefixes, seed, lease)
    if adapters:
        yield "adapters in mid-answer are hurt", *adapted(adapters, seed, lease)
    if demand:
        yield "models on demand are hurt", *on_demand(demand, seed, lease)


def echo(count: int, seed: int, lease: float, menu: Sequence[str], index: str) -> tuple[Outcome, list[str]]:
    """With echo engines."""
    print(f"what is stored has its index in {index or 'SQLite'}", flush=True)
    patient = menu is scenes.EVERYTHING
    if patient and not index:
        menu = (*menu, *scenes.INDEX)
    with tempfile.TemporaryDirectory() as folder:
        scene = scenes.echoes(lease, menu, Path(folder), index)
        asked = plan.echoes(Random(seed), 2 * count, tuple(scene.crews))
        asked, more = asked[:count], asked[count:]
        outcome = run(scene, asked, Random(seed), patient=patient, more=more, enough=enough(count, count // 100, menu))
    broken = [
        *report.broken_promises(outcome, count // 100, menu),
        *report.unhurt_forms(outcome, count // 500),  # in a short run chance may pass one by
        *report.slow_recoveries(outcome, lease),
    ]
    return outcome, broken


def enough(count: int, least_hits: int, menu: Sequence[str]) -> Callable[[Sequence[Fault]], bool]:
    """Whether the faults of a run with so many requests prove something."""
    return lambda faults: not any(report.too_little(faults, count, least_hits, menu))


def smollm2(count: int, seed: int, lease: float) -> tuple[Outcome, list[str]]:
    """With a real model."""
    asked = plan.rhymes(Random(seed), count, "smollm2", plan.RHYMED)
    return compare(scenes.smollm2(lease), asked, seed, scenes.HOSTS, plan.repeats)


def readers(count: int, seed: int, lease: float) -> tuple[Outcome, list[str]]:
    """With tiny models that go on from snapshots; undisturbed they have none."""
    with tempfile.TemporaryDirectory() as folder:
        scene = scenes.readers(lease, Path(folder))
        asked = plan.readings(Random(seed), count, tuple(scene.crews))
        return compare(scene, asked, seed, scenes.PREFIXES)


def adapted(count: int, seed: int, lease: float) -> tuple[Outcome, list[str]]:
    """With a tiny model and its adapters, in conversations; in half of the runs nothing is known of prompts but what
    their own worker has read."""
    with tempfile.TemporaryDirectory() as folder:
        scene = scenes.adapted(lease, Path(folder), Random(seed).choice((0, 1 << 30)))
        asked = plan.turns(Random(seed), count, tuple(scene.crews), 150)
        outcome, broken = compare(scene, asked, seed, scenes.WORKERS)
    return outcome, [*broken, *report.alike(outcome)]


def on_demand(count: int, seed: int, lease: float) -> tuple[Outcome, list[str]]:
    """With models that two machines load when they are asked for; a third of the requests is for a tiny one and its
    adapters, the others are for echoes."""
    with tempfile.TemporaryDirectory() as folder:
        scene = scenes.on_demand(lease, Path(folder))
        drawing = Random(seed)  # one for both: no two requests have the same key
        asked = plan.turns(drawing, count // 3, scenes.ADAPTED, 60)
        others = plan.echoes(drawing, count - len(asked), scenes.ECHOES, plan.ON_DEMAND, first=count)
        outcome, broken = compare(scene, asked, seed, DEMAND, others=others)
    return outcome, [*broken, *report.alike(outcome), *report.unexcused(outcome), *sorted(set(outcome.crowded))]


def compare(
    scene: Scene,
    asked: Sequence[plan.Request],
    seed: int,
    menu: Sequence[str],
    is_sure: Callable[[plan.Request, str], bool] = lambda _request, _text: True,
    others: Sequence[plan.Request] = (),
) -> tuple[Outcome, list[str]]:
    """With models that say first what their answers are, undisturbed and without anything that others have read; those
    answers are left out that may come out another way. `others` are those whose answers are known."""
    count = len(asked) + len(others)
    alone = replace(scene, course=scenes.calm, settings={**scene.settings, "prefix_bytes": 0})
    calm = run(alone, asked, Random(seed), patient=False)
    known = [
        replace(client.request, expected=client.end.text, answer=client.end.known())
        for client in calm.clients
        if is_sure(client.request, client.end.text)
    ]
    known = Random(seed).sample([*known, *others], len(known) + len(others)) if others else known
    again = range(4)  # on a fast machine faults need more answers before enough of them have hit one
    more = [replace(each, key=f"{each.key} again {turn}" if each.key else "") for turn in again for each in known]
    outcome = run(scene, known, Random(seed), patient=False, more=more, enough=enough(count, count // 10, menu))
    return outcome, list(report.broken_promises(outcome, count // 10, menu))


if __name__ == "__main__":
    main()
