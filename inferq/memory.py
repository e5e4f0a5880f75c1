"""Which part of the memory each worker gets of those that are started together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shared import cores, memory
from shared.catalogue import Model
from shared.config import Config
from shared.memory import MemoryBudget
from worker.memory import share

GATEWAY, VALKEY = 80 << 20, 64 << 20
"""Bytes that a process of the gateway takes, and a queue that is short."""


def divide(models: Sequence[Model], config: Config, workers: int) -> list[str]:
    """`INFERQ_MEMORY` for each worker of each model. Raises DoesNotFit, ModelFileError."""
    return [str(part) for part in share(models, config, left_for_models(config), workers)]


def left_for_models(config: Config) -> MemoryBudget:
    """What there is, less what the gateway and the queue will take."""
    there = memory.budget(config.memory)
    if there.said.startswith("INFERQ"):
        return there
    return replace(there, taken=there.taken + VALKEY + GATEWAY * (config.gateway_processes or cores.usable()))
