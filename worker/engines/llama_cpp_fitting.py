"""What is made of the times that a calibration has measured: which threads, how long a step, which attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.engines.llama_cpp_calibration_host import SIZES

LIMIT = 0.3
"""Seconds that a step may take, in a full context: what other answers wait for while a prompt is read."""
_GAIN, _GAIN_BATCH, _GAIN_PLAIN = 1.05, 1.05, 1.1
"""How many times as fast it has to be: with more threads, which take cores from all others, or another attention."""
_BESIDE = 0.001
"""Seconds that inferq computes for each token of one answer, on a core that the engine leaves; where that leaves none,
each token comes so much later, since all threads wait for the one that was interrupted."""
_USEFUL = 0.9
"""Of the speed of the best step."""
_NEARLY = 1.2
"""Of the shortest step, where all of them take too long."""
_USUAL, _PLAIN = "", "plain"
_KINDS = (_USUAL, _PLAIN, "flash")
MOST_THREADS = 1024
MOST_SCORES, _SCORE = 512 << 20, 8
"""Bytes that plain attention may hold in a step, and what it holds of each token, cell and head."""
_ROUND = 8


@dataclass(frozen=True, slots=True)
class Calibration:
    """What fits."""

    threads: int
    """For one answer alone."""
    batch_threads: int
    """For prompts, and for several answers."""
    step: int
    """Tokens of a prompt."""
    attention: str
    """`plain`, or empty for llama.cpp's own choice."""
    told: str
    """What was measured, in words."""

    def __post_init__(self) -> None:
        """Raises ValueError for what no machine has: who measures, or has kept it, may have been taken over."""
        counts = (self.threads, MOST_THREADS), (self.batch_threads, MOST_THREADS), (self.step, SIZES[-1])
        counted = all(type(count) is int and 0 < count <= most for count, most in counts)
        if not (counted and self.attention in _KINDS and isinstance(self.told, str)):
            raise ValueError("nobody can have measured that")


def describe(found: Calibration) -> str:
    return (
        f"threads for one answer: {found.threads}, for prompts and several answers: {found.batch_threads};"
        f" {found.step} tokens of a prompt a step{', plain attention' * (found.attention == _PLAIN)}: {found.told}"
    )


def choose(measured: Mapping[str, Any], context: int, heads: int) -> Calibration:
    """`context` is a full one, in tokens. Raises ValueError, TypeError, KeyError for what nobody has measured."""
    single, batch, steps = (_times(measured[name]) for name in ("single", "batch", "steps"))
    depth = float(measured["depth"])
    if not (single and batch and steps and measured["deep"] and depth > 0 and 0 <= measured["share"] <= 1):
        raise ValueError("nothing was measured")
    steps = {1: single[min(single, key=single.__getitem__)], **steps}
    full = {name: _full(steps, _times(told), context / depth) for name, told in measured["deep"].items()}
    least = _useful(steps)
    sizes = {name: _largest(times, least) for name, times in full.items()}
    kind = next(iter(full))
    if len(full) > 1 and _pays(full, sizes) and sizes[_PLAIN] * heads * context * _SCORE <= MOST_SCORES:
        kind = _PLAIN
    size, times, answers = sizes[kind], full[kind], (f"{time * 1000:.1f} ms with {n}" for n, time in single.items())
    told = f"a token takes {', '.join(answers)}, and {times[1] * 1000:.1f} after {context} others;"
    told += f" such a step {_between(steps, size) * 1000:.0f} ms, and {_between(times, size) * 1000:.0f} after those"
    return Calibration(_fewest(single, _GAIN, _BESIDE), _fewest(batch, _GAIN_BATCH), size, kind, told)


def _pays(full: Mapping[str, Mapping[int, float]], sizes: Mapping[str, int]) -> bool:
    """Whether plain attention makes answers faster, and prompts not slower."""
    (usual, own), (plain, other) = ((full[name], sizes[name]) for name in (_USUAL, _PLAIN))
    speeds = (_between(usual, own) / own, _between(plain, other) / other)
    return plain[1] * _GAIN_PLAIN <= usual[1] and speeds[1] <= speeds[0] * _GAIN_PLAIN


def _times(told: Any) -> dict[int, float]:
    """By threads or tokens, ascending, seconds."""
    found = {int(what): float(seconds) for what, seconds in told}
    if not all(0 < what <= max(MOST_THREADS, *SIZES) and 0 < seconds < math.inf for what, seconds in found.items()):
        raise ValueError("no times")
    return dict(sorted(found.items()))


def _full(steps: Mapping[int, float], deep: Mapping[int, float], deeper: float) -> dict[int, float]:
    """Seconds of each size in a full context, which is so many times as deep as was measured.

    Attention takes time in proportion to the depth and, beyond the sizes that were tried there, to the size.
    """
    extra = {size: max(0.0, deep[size] - steps[size]) for size in deep if size in steps}
    last = max(extra, default=1)
    slope = extra.get(last, 0.0) / last
    return {size: seconds + extra.get(size, slope * size) * deeper for size, seconds in steps.items()}


def _useful(steps: Mapping[int, float]) -> int:
    """The smallest step that is of use: with fewer tokens, most of the time goes for reading the weights."""
    speeds = {size: size / seconds for size, seconds in steps.items() if size > 1}
    return min(size for size, speed in speeds.items() if speed >= _USEFUL * max(speeds.values()))


def _largest(times: Mapping[int, float], least: int) -> int:
    """Tokens that are read within LIMIT, and not fewer than `least`; where that cannot be, those of nearly the
    shortest step."""
    candidates = range(least, max(times) + 1, _ROUND)
    limit = max(LIMIT, _NEARLY * min(seconds for size, seconds in times.items() if size >= least))
    return max(size for size in candidates if _between(times, size) <= limit)


def _between(times: Mapping[int, float], size: int) -> float:
    """Seconds, in proportion between two sizes that were measured."""
    return float(np.interp(size, list(times), list(times.values())))


def _fewest(times: Mapping[int, float], pays: float, beside: float = 0.0) -> int:
    best = min(times.values())
    return next(threads for threads, seconds in times.items() if seconds <= best * pays + beside)
