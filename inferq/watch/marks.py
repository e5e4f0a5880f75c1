"""Numbers as a terminal shows them: meters, curves of small blocks, sizes, and pairs of quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inferq.table import span

_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Ink:
    """The letters to draw with."""

    full: str
    empty: str
    levels: str
    """From nothing to the most."""


BLOCKS = Ink("█", "░", "▁▂▃▄▅▆▇█")
PLAIN = Ink("#", ".", "_.:-=+*#")
"""For terminals that know no others."""


def meter(part: float, whole: int, width: int, ink: Ink) -> str:
    """A bar of `width` letters; what is there at all shows."""
    filled = min(width, max(round(width * part / whole), 1)) if whole and part else 0
    return ink.full * filled + ink.empty * (width - filled)


def curve(values: Sequence[float | None], width: int, ink: Ink) -> str:
    """The values from the oldest, at most `width` letters; each stands for the largest of as many as it takes."""
    each = -(-len(values) // max(1, width))
    groups = [values[max(0, end - each) : end] for end in range(len(values), 0, -each)][::-1]
    peaks = [max((value for value in group if value is not None), default=None) for group in groups]
    most = max((peak for peak in peaks if peak), default=0.0)
    return "".join(" " if peak is None else _level(peak, most, ink) for peak in peaks)


def _level(value: float, most: float, ink: Ink) -> str:
    last = len(ink.levels) - 1
    return ink.levels[min(last, max(1, round(last * value / most)))] if value > 0 else ink.levels[0]


def peak(values: Sequence[float | None]) -> str:
    most = max((value for value in values if value is not None), default=0)
    return f"up to {number(most)}" if most else ""


def number(value: float | None) -> str:
    if value is None:
        return _NOTHING
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def quantiles(pair: dict[str, float] | None, unit: str = "") -> str:
    """What half, and 95 of 100, did not exceed."""
    return f"{number(pair['p50'])} / {number(pair['p95'])}{unit}" if pair else _NOTHING


def wait(seconds: float | None) -> str:
    """An estimate."""
    return "?" if seconds is None else span(seconds) if seconds else "none"


def size(number_of_bytes: int | None) -> str:
    if not number_of_bytes:
        return _NOTHING
    return f"{number_of_bytes / 1e9:.1f} GB" if number_of_bytes >= 1e9 else f"{number_of_bytes / 1e6:.0f} MB"


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else _NOTHING
