"""How much memory models need, and how much there is for them: the one place where the agent asks for that."""

from __future__ import annotations

import time

from inferq.weights import find_weights
from shared import memory
from shared.catalogue import WITHOUT_FILE, Model
from shared.config import Config
from shared.memory import MemoryBudget
from worker import memory as models_memory
from worker.memory import DoesNotFit

_UNKNOWN = 200_000_000
"""Bytes that a model takes beside its weights, as long as its file is not here."""
_SHARE = 2
"""A model on demand has the context that fits in one part of so many of what there is, where that is enough for it:
so another one has room beside it."""
_PATIENCE = 5.0
"""Seconds for which a model waits for memory that others than models have."""
_PAUSE = 2.0
"""Seconds without a question after which that begins anew."""


def most(config: Config) -> int:
    """Bytes that models may ever have on this machine."""
    whole = memory.total()
    whole -= whole // memory.KERNEL
    return min(whole, memory.parse(config.memory, whole)) if config.memory else whole


class MemoryGauge:
    """Looks at the memory of the machine, not more often than once a second."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._budget, self._looked = 0, 0.0
        self._short: dict[str, tuple[float, float]] = {}
        """Models for which there is too little: since when, and when that was seen last (monotonic)."""

    def budget(self, used: int) -> int:
        """Bytes that the models of this machine may have together now, of which those that are loaded use so many."""
        if time.monotonic() - self._looked > 1.0:
            self._budget, self._looked = min(most(self._config), memory.available() + used), time.monotonic()
        return self._budget

    def lacks(self, model: str, *, short: bool) -> bool:
        """Whether there was too little for a model that is asked for whenever this was asked in the last seconds, now
        where it is `short`: while others are loaded, or end, less seems to be there for a moment."""
        now = time.monotonic()
        if not short:
            self._short.pop(model, None)
            return False
        since, seen = self._short.get(model, (now, now))
        self._short[model] = since if now - seen < _PAUSE else now, now
        return now - self._short[model][0] > _PATIENCE


def guess(model: Model) -> int:
    """Bytes that a worker of the model takes, before anybody has looked closely."""
    return 0 if model.engine in WITHOUT_FILE else (model.size or 0) + _UNKNOWN


def weigh(model: Model, config: Config) -> tuple[int, int]:
    """The same, looked at closely, which takes a second the first time: with the context that it is to have. And bytes
    that it can use beside: to measure what fits the machine, and for longer steps.

    Raises DoesNotFit, ModelFileError, EngineError.
    """
    if model.path is None and model.engine not in WITHOUT_FILE:
        return guess(model), 0
    model = find_weights(model, config)
    whole = most(config)
    try:
        fitted = models_memory.fit_context(model, config, MemoryBudget(whole // _SHARE, 0, f"a {_SHARE}nd part"))
    except DoesNotFit:
        fitted = models_memory.fit_context(model, config, MemoryBudget(whole, 0, "that models may have here"))
    trial = models_memory.find_trial(model, config, fitted.footprint.context)
    needs = fitted.footprint.total
    return needs, max(0, trial.total - needs) if trial else 0
