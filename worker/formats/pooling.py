"""How a model makes a vector of what it has read, as its file says."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class PoolingKind(IntEnum):
    """As GGUF numbers them."""

    MEAN = 1
    CLS = 2
    LAST = 3
    RANK = 4


_ENCODERS = (
    "bert",
    "nomic-bert",
    "nomic-bert-moe",
    "jina-bert-v2",
    "jina-bert-v3",
    "neo-bert",
    "modern-bert",
    "eurobert",
)
"""Architectures that generate no text, whatever their files say."""


def find_pooling(architecture: str, metadata: Mapping[str, Any]) -> PoolingKind | None:
    """None for a model that generates text."""
    kind = metadata.get(f"{architecture}.pooling_type")
    if type(kind) is int and kind in [*PoolingKind]:
        return PoolingKind(kind)
    return PoolingKind.MEAN if architecture in _ENCODERS else None


def is_split(architecture: str, metadata: Mapping[str, Any], kind: PoolingKind) -> bool:
    """Whether what it reads may be computed in parts: each token looks back only, and the last one tells all."""
    looks_ahead = metadata.get(f"{architecture}.attention.causal") is False or architecture in _ENCODERS
    return kind is PoolingKind.LAST and not looks_ahead
