"""Rows of text, as columns for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def align(rows: Iterable[Sequence[str]]) -> str:
    """Lines in which the cells of each column begin below each other; the first row is the head."""
    table = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def printable(cell: str) -> str:
    """Without what would move the cursor, or do worse to a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in cell)
