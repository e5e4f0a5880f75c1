"""Run the machine: until so many steps are clean, or until a fault is found."""

from __future__ import annotations

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Machine
from tests.model.pair import Pair
from tests.model.real import NoSuchText

_STEPS = 100
"""Of hypothesis, in one world; some of them are several of ours."""


def explore(pair: Pair, seed: int, steps: int, *, shrink: bool = True) -> None:
    """At least so many steps. Raises AssertionError with the way to what is wrong; `shrink` makes it short."""
    goal, part = pair.steps + steps, 0
    while pair.steps < goal:
        worlds = max(5, min(200, (goal - pair.steps) // _STEPS))  # its first one does nothing
        _explore(pair, seed * 1_000_003 + part, worlds, shrink)
        part += 1


def _explore(pair: Pair, seed: int, worlds: int, shrink: bool) -> None:
    class Seeded(Machine):
        pass

    Seeded.pair = pair
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    options = settings(
        max_examples=worlds,
        stateful_step_count=_STEPS,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    run_state_machine_as_test(hypothesis.seed(seed)(Seeded), settings=options)


def steps_until_found(pair: Pair, seed: int, steps: int) -> int | None:
    """How many it took to find a fault; None when they were too few."""
    before, pair.broken_at = pair.steps, None
    try:
        explore(pair, seed, steps, shrink=False)
    except NoSuchText:
        raise
    except Exception:  # a fault may lead to any error; the same seed without it leads to none
        if pair.stack.valkey.poll() is not None:  # its port was taken meanwhile, or such
            raise
        found = pair.broken_at or pair.steps
        return found - before
    return None
