"""Rows of text as columns for a terminal, and what stands in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from unicodedata import combining, east_asian_width


def align(rows: Iterable[Sequence[str]]) -> str:
    """Lines in which the cells of each column begin below each other; the first row is the head."""
    table = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)) for row in table
    )
    return "\n".join(line.rstrip() for line in lines)


def _width(cell: str) -> int:
    """Places that it takes: two for a letter of Chinese, Japanese or Korean, none for what stands on the one before."""
    return sum((east_asian_width(letter) in "WF") + (not combining(letter)) for letter in cell)


def printable(cell: str) -> str:
    """Without what would move the cursor, or do worse to a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in cell)


def span(seconds: float) -> str:
    """A length of time, in its largest whole unit."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"
