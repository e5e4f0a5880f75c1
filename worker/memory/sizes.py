"""What llama.cpp allocates for a model and a context, and what the processes around it take."""

from __future__ import annotations

from dataclasses import dataclass

PAD = 256
"""Cells, of which llama.cpp makes whole multiples."""
CELL = 50
"""Bytes that llama.cpp keeps of each cell beside keys and values: whose it is, and its place."""
WORKER, HOST = 46 << 20, 36 << 20
"""Bytes that a worker takes with its libraries, and an engine host, without anything of a model."""
POOLING_HOST, LEGACY_HOST = 42 << 20, 32 << 20
"""The same, of a host of vectors and of one of ctransformers."""
TOKEN = 700
"""Bytes that both keep of each token of the vocabulary."""
SLOT = 1 << 18
"""Bytes of what each slot has under way: its tokens, texts and sampling."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes."""

    weights: int
    """Mapped from the file."""
    copies: int
    """Of weights, rearranged."""
    cells: int
    compute: int
