"""How a model makes a vector of what it has read, as its file says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

from shared.card import Ability


class PoolingKind(IntEnum):
    """As GGUF numbers them."""

    MEAN = 1
    CLS = 2
    LAST = 3
    RANK = 4

    @property
    def ability(self) -> Ability:
        """What a model that pools so may be asked for, and nothing else."""
        return Ability.RERANK if self is PoolingKind.RANK else Ability.EMBEDDING


_ENCODERS = frozenset(
    (
        *("bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3"),
        *("eurobert", "gemma-embedding", "gemma-embedding2", "llama-embed", "t5encoder"),
    )
)
"""Architectures that generate no text, whatever their files say."""
_HEAD = "cls."
"""Begins the names of the tensors by which a model tells how well a text fits."""


def find_pooling(architecture: str, metadata: Mapping[str, Any], tensors: Iterable[str] = ()) -> PoolingKind | None:
    """None for a model that generates text. `tensors` are the names of the file's."""
    if any(name.startswith(_HEAD) for name in tensors):
        return PoolingKind.RANK
    kind = metadata.get(f"{architecture}.pooling_type")
    if type(kind) is int and kind in [*PoolingKind]:
        return PoolingKind(kind)
    return PoolingKind.MEAN if architecture in _ENCODERS else None


def find_length(architecture: str, metadata: Mapping[str, Any]) -> int:
    """Numbers of the vectors: of some models they are others than within. 0 where nobody knows."""
    found = (metadata.get(f"{architecture}.embedding_length{end}") for end in ("_out", ""))
    return next((length for length in found if type(length) is int and length > 0), 0)


def is_split(architecture: str, metadata: Mapping[str, Any], kind: PoolingKind) -> bool:
    """Whether what it reads may be computed in parts: each token looks back only, and the last one tells all."""
    looks_ahead = metadata.get(f"{architecture}.attention.causal") is False or architecture in _ENCODERS
    return kind is PoolingKind.LAST and not looks_ahead
