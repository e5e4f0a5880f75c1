"""One of those who make vectors side by side in a host: a context of llama.cpp, and what is made of what it tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.engines.libllama_pooling import PoolingContext


class PoolingLane:
    """The vectors are `normalised` to length 1, or `logits` of chances."""

    def __init__(self, context: PoolingContext, *, normalised: bool, chances: bool) -> None:
        self._context = context
        self._normalised, self._chances = normalised, chances

    def vectors(self, sequences: Sequence[Sequence[int]], threads: int) -> list[bytes]:
        """That of each, as 32-bit numbers, little-endian; empty where what was computed are no numbers."""
        import numpy as np

        told = self._context.pool(sequences, threads)
        bad = [place for place, row in enumerate(told) if not np.isfinite(row).all()]
        if len(sequences) > 1:  # one that is of no numbers makes those beside it so
            for place in bad:
                told[place] = self._context.pool([sequences[place]], threads)
            bad = [place for place in bad if not np.isfinite(told[place]).all()]
        told[bad] = 0
        if self._normalised:
            lengths = np.linalg.norm(told, axis=1, keepdims=True)
            rows = (told / np.where(lengths > 0, lengths, 1)).astype("<f4")
        else:
            rows = told[:, :1].astype("<f4")
            if self._chances:
                sure = np.clip(told[:, :1].astype(np.float64), 1e-30, 1 - 1e-15)
                rows = np.log(sure / (1 - sure)).astype("<f4")
        return [b"" if place in bad else row.tobytes() for place, row in enumerate(rows)]
