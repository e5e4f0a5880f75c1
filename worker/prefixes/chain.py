"""Names for the beginnings of prompts, a block of tokens each: alike where all is that the computation rests on."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

BLOCK = 32
"""Tokens."""
LEAST = 256
"""Tokens that are worth a snapshot, beyond those that others have."""
GAIN = 64
"""Tokens that are worth restoring one."""
_DIGITS = 32

Chain = Sequence[str]
"""The name of each beginning that ends with a whole block, the shortest first: a hash over all before it."""


def link(seed: bytes, tokens: Sequence[int]) -> Chain:
    """`seed` tells apart whatever else the computation rests on, and whose it is."""
    hashed, chain = hashlib.sha256(seed), list[str]()
    for end in range(BLOCK, len(tokens) + 1, BLOCK):
        hashed.update(array("q", tokens[end - BLOCK : end]).tobytes())
        chain.append(hashed.hexdigest()[:_DIGITS])
    return chain


def shared(one: Chain, other: Chain) -> int:
    """How many tokens both begin with, as far as blocks are whole."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # names are alike up to some place, and nowhere after it
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[middle - 1] == other[middle - 1] else (low, middle - 1)
    return low * BLOCK
