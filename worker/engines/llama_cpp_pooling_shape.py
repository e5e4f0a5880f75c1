"""How large the batches of a model are that makes vectors, and how many of them it computes side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.config import Config
from worker.engines.llama_cpp_files import Files
from worker.engines.pooling_host import SHARED
from worker.formats.pooling import PoolingKind, is_split

SPLIT_CONTEXT, WHOLE_CONTEXT = 8192, 4096
"""Tokens of an input at most, where neither the model nor the configuration has fewer: what is computed as a whole
takes memory that grows with their square."""
_STEP = 512
_PLAIN = 1024
"""Tokens of an input up to which attention is computed in 32 bits. What llama.cpp takes otherwise needs no memory that
grows with their square, but rounds by what shares the batch: cosines of 0.9998 for the same text in 8-bit weights."""
_MOST_LANES = 4
"""Each has memory for a batch of its own. A thread that computes alone need not wait for others, which they do 200
times a batch."""


@dataclass(frozen=True, slots=True)
class PoolingShape:
    batch: int
    """Tokens that are read together."""
    step: int
    """Of those, how many at once."""
    plain: bool
    """Whether attention is computed in 32 bits."""
    lanes: int
    """Batches side by side, at most."""

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> PoolingShape:
        """That of a host with these parameters."""
        most = parameters["context"]
        batch = max(most, SHARED)
        step = min(batch, parameters["step"]) if parameters["step"] else batch
        short = most <= _PLAIN
        lanes = min(_MOST_LANES, parameters["batch_threads"]) if short else 1
        return cls(batch, step, bool(parameters["exact"] or short), lanes)


def pooling_context(files: Files, kind: PoolingKind, config: Config) -> tuple[int, int]:
    """Tokens of an input at most, and of a step; 0 where an input is computed as a whole."""
    split = is_split(files.header.architecture, files.header.metadata, kind)
    usual = SPLIT_CONTEXT if split else WHOLE_CONTEXT
    return min(config.context or usual, files.header.context_length or usual), _STEP if split else 0
