"""Whether a measured quantity grows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

_MOST = 400
"""Points of a line; pairs of more take too long."""
_SIGMA = 1.4826
"""What a median of distances is multiplied by to be a standard deviation, where they are normal."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Of a quantity over the second half of its measurements, where all that fills up has filled."""

    middle: float
    """Its median."""
    rise: float
    """By the median of the slopes of all pairs (Theil and Sen), over that half: some outliers do not move it."""
    noise: float
    """Three standard deviations of what it is away from that line, by their median."""


def drift(values: Sequence[float]) -> Drift:
    """Of at least four values, measured at equal distances."""
    half = list(values[len(values) // 2 :])
    half = half[:: -(-len(half) // _MOST)]
    slope = statistics.median((b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(half), 2))
    middle = statistics.median(value - slope * place for place, value in enumerate(half))
    off = statistics.median(abs(value - middle - slope * place) for place, value in enumerate(half))
    return Drift(statistics.median(half), slope * (len(half) - 1), 3 * _SIGMA * off)
