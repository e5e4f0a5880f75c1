"""What a model takes of the memory once it is served, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shared.memory import tell


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes at most, when every slot is at work and the context is full."""

    context: int
    """Tokens for which this holds."""
    weights: int
    """That are mapped from the file: processes that serve the same file share them."""
    copies: int
    """Weights that are rearranged for this CPU, and those of adapters."""
    cells: int
    """Keys and values, and other state, of all tokens in the context."""
    compute: int
    """What one step takes."""
    cache: int
    """States of prompts that are kept beside the cells."""
    process: int
    """The worker and its engine host themselves, with the vocabulary."""
    measured: bool = True
    """Whether the engine has told the parts; else they are an upper bound, by the file's header."""

    @property
    def total(self) -> int:
        return self.weights + self.copies + self.cells + self.compute + self.cache + self.process

    def parts(self) -> Iterator[tuple[str, int]]:
        """Each by its name, those that are there."""
        for name in ("weights", "copies", "cells", "compute", "cache", "process"):
            if size := getattr(self, name):
                yield name, size

    def __str__(self) -> str:
        return f"{tell(self.total)} ({', '.join(f'{name} {tell(size)}' for name, size in self.parts())})"
