"""The memory that several models share which are started together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.catalogue import Model
from shared.config import Config
from shared.memory import DoesNotFit, MemoryBudget, tell
from worker.memory.context import find_needs, fit_context
from worker.memory.footprint import Footprint
from worker.memory.needs import LEAST


@dataclass(frozen=True, slots=True)
class _Claimant:
    name: str
    least: Footprint
    most: Footprint

    def cost(self, footprint: Footprint, workers: int) -> int:
        """Weights are there once, however many workers have mapped them."""
        return footprint.weights + workers * (footprint.total - footprint.weights)


def share(models: Sequence[Model], config: Config, there: MemoryBudget, workers: int = 1) -> list[int]:
    """Bytes for a worker of each model, of `workers` for each: what it needs for its whole context, where all have
    that, else what it needs for the smallest that is of use; and an equal part of the rest.

    Raises DoesNotFit where there is too little even so, and what `fit_context` does.
    """
    claimants = []
    for model in models:
        needs = find_needs(model, config)
        named = model.context or config.context
        claimants.append(
            _Claimant(model.id, needs.of(needs.most if named else min(LEAST, needs.most)), needs.of(needs.most))
        )
    left = there.free - sum(claimant.cost(claimant.least, workers) for claimant in claimants)
    if left < 0:
        if len(models) == workers == 1:
            fit_context(models[0], config, there)  # which says more
        told = ", ".join(
            f"{claimant.name} needs {tell(claimant.cost(claimant.least, workers))}" for claimant in claimants
        )
        raise DoesNotFit(
            f"the models do not fit together: {told}, and there are {there}. What helps: fewer models or workers,"
            " smaller contexts (--context), smaller quantisations, or more memory"
        )
    grants = dict[int, int]()
    for count, (place, claimant) in enumerate(sorted(enumerate(claimants), key=lambda each: _more(each[1])), 1):
        part = min(
            _more(claimant), left // workers // (len(claimants) - count + 1)
        )  # who wants less leaves more for others
        left -= workers * part
        grants[place] = claimant.least.total + part
    spare = left // workers // max(1, len(claimants))  # for longer steps
    return [grants[place] + spare for place in range(len(claimants))]


def _more(claimant: _Claimant) -> int:
    return max(0, claimant.most.total - claimant.least.total)
