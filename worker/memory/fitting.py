"""The settings with which a model is loaded: those that fit the machine, as far as they fit into its memory."""

from __future__ import annotations

import logging
from dataclasses import replace

from shared import footprint as processes
from shared import memory
from shared.catalogue import Model
from shared.catalogue.parts import files_of
from shared.config import Config
from shared.memory import DoesNotFit, MemoryBudget
from worker.engines import choose
from worker.engines.llama_cpp_calibration import fit_machine
from worker.engines.llama_cpp_calibration_host import SIZES
from worker.memory.context import fit_context, footprint
from worker.memory.footprint import Footprint

log = logging.getLogger("inferq.models")

_MEASURED = 9216
"""Tokens of the contexts in which it is measured what fits the machine."""


def fit_start(model: Model, config: Config) -> Config:
    """`config` with numbers that were measured here where it names none, and with a context that fits.

    Raises DoesNotFit, and what `fit_context` does.
    """
    there = find_room(model, config)
    first = fit_context(model, config, there)
    if config.context > (own := first.wanted):
        log.warning("%s: the context is %s tokens, which is the model's own, and not %s", model.id, own, config.context)
        config = replace(config, context=own)
    context = config.context or own
    found = _measure(model, config, context if not first.said else _above(first.footprint.context, context), there)
    try:
        fitted = fit_context(model, found, there)
    except DoesNotFit:  # with a longer step; the usual one does
        found, fitted = replace(found, batch_size=config.batch_size, attention=config.attention), first
    if fitted.said:
        log.warning("%s: %s", model.id, fitted.said)
        return replace(found, context=fitted.footprint.context)
    log.info("%s: takes %s of the memory", model.id, fitted.footprint)
    return found


def find_room(model: Model, config: Config) -> MemoryBudget:
    """What there is for the model now. Weights that another process has mapped are there already."""
    mapped = (path for path in (files_of(model.path) if model.path else ()) if processes.has_mapped(path))
    return memory.budget(config.memory, shared=sum(path.stat().st_size for path in mapped))


def find_trial(model: Model, config: Config, context: int) -> Footprint | None:
    """What it takes to measure what fits the machine, and to have the longest step of those that are tried; None where
    nothing is measured."""
    if choose(model) != "llama.cpp" or (config.threads and config.batch_size):
        return None
    return footprint(model, replace(config, context=context, batch_size=SIZES[-1]))


def _measure(model: Model, config: Config, context: int, there: MemoryBudget) -> Config:
    trial = find_trial(model, config, min(context, _MEASURED))
    if trial is None:
        return config
    if trial.total > there.free:
        log.warning(
            "%s: what fits this machine is not measured, which takes %s, and there are %s", model.id, trial, there
        )
        return config
    return replace(fit_machine(model, replace(config, context=context)), context=config.context)


def _above(context: int, most: int) -> int:
    """The next power of two: what is measured for it holds at the next start as well, when a little more fits."""
    return min(most, 1 << (context - 1).bit_length())
