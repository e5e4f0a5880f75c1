"""Which part of the memory each worker gets of those that are started together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from inferq.weights import choose_together
from shared import cores, memory
from shared.catalogue import Model
from shared.config import Config
from shared.memory import MemoryBudget
from worker.memory import DoesNotFit, share

log = logging.getLogger("inferq.models")

GATEWAY, VALKEY = 80 << 20, 64 << 20
"""Bytes that a process of the gateway takes, and a queue that is short."""


def settle(models: Sequence[Model], config: Config, workers: int) -> tuple[list[Model], list[str]]:
    """With the files whose weights are to be served, and `INFERQ_MEMORY` for each worker of each model.

    Where those that were prepared do not fit, those of the models' own files are served. Raises DoesNotFit,
    ModelFileError, EngineError.
    """
    served = choose_together(models, config)
    try:
        return served, divide(served, config, workers)
    except DoesNotFit:
        shares = divide(models, config, workers)
    log.warning("weights are served as their files have them: those that were prepared for this CPU do not fit")
    return list(models), shares


def divide(models: Sequence[Model], config: Config, workers: int) -> list[str]:
    """`INFERQ_MEMORY` for each worker of each model. Raises DoesNotFit, ModelFileError."""
    return [str(part) for part in share(models, config, left_for_models(config), workers)]


def left_for_models(config: Config) -> MemoryBudget:
    """What there is, less what the gateway and the queue will take."""
    there = memory.budget(config.memory)
    if there.said.startswith("INFERQ"):
        return there
    return replace(there, taken=there.taken + VALKEY + GATEWAY * (config.gateway_processes or cores.usable()))
