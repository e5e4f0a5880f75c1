"""How much memory models need, and how much there is for them: the one place where the agent asks for that."""

from __future__ import annotations

from shared import memory
from shared.catalogue import Model
from shared.config import Config

_WORKER = 150_000_000
"""Bytes of a worker that holds no weights."""
_SHARE = 0.8
"""Of the machine's memory that is for models."""


def needs(model: Model, config: Config) -> int:
    """Bytes that a worker of the model takes. Raises ModelFileError."""
    return int((model.size or 0) * 1.2) + _WORKER


def budget(config: Config) -> int:
    """Bytes that the models of this machine may have together."""
    return int(memory.total() * _SHARE)
