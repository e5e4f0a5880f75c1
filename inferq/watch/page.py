"""A page that fits its terminal: each section gets a part of the lines, and leaves out columns that have no room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from inferq.table import printable

Cell = str | Text
"""A `Text` is ours; a plain one may be anybody's, and becomes harmless."""


@dataclass(frozen=True, slots=True)
class Column:
    """`width` is that of the narrowest terminal that shows it; a `loose` one takes what room is left.

    The others have at most this `part` of the width: a fourth, a half.
    """

    name: str
    right: bool = False
    width: int = 0
    loose: bool = False
    part: int = 4


@dataclass(frozen=True, slots=True)
class Section:
    """A table. Those of a smaller `rank` get their lines first."""

    rank: int
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    more: int = 0
    """Rows that there are beside these."""
    none: str = ""
    """What is told where there are no rows."""


_FRAME = 2
"""Lines of a section that are no rows: the one between it and what stands above, and its head."""


def arrange(top: RenderableType, sections: Sequence[Section], width: int, height: int) -> Group:
    """The page, of at most `height` lines."""
    lines = _share(
        [(section.rank, len(section.rows) + bool(section.more or not section.rows)) for section in sections], height - 1
    )
    parts: list[RenderableType] = [top]
    for section, most in zip(sections, lines, strict=True):
        if most:
            parts += ["", _table(section, most, width)]
    return Group(*parts)


def _share(wanted: Sequence[tuple[int, int]], height: int) -> list[int]:
    """How many rows each section has, of those that it wants: two if any, and then in turn one more.

    The smallest rank is the first.
    """
    rows = [0] * len(wanted)
    order = sorted(range(len(wanted)), key=lambda at: wanted[at][0])
    given = True
    while given:
        given = False
        for at in order:
            more = 1 if rows[at] else min(2, wanted[at][1])
            cost = more if rows[at] else _FRAME + more
            if rows[at] < wanted[at][1] and cost <= height:
                rows[at], height, given = rows[at] + more, height - cost, True
    return rows


def _table(section: Section, most: int, width: int) -> RenderableType:
    if not section.rows:
        return Text(section.none, style="yellow")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    shown = [at for at, column in enumerate(section.columns) if column.width <= width]
    for at in shown:
        column = section.columns[at]
        ratio = 1 if column.loose else None
        table.add_column(
            column.name,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=ratio,
            max_width=None if column.loose else max(len(column.name), width // column.part),
        )
    rows, left = section.rows, section.more
    if len(rows) + bool(left) > most:
        left += len(rows) - (most - 1)
        rows = rows[: most - 1]
    for row in rows:
        table.add_row(*(_cell(row[at]) for at in shown))
    return Group(table, Text(f"and {left} more", style="dim")) if left else table


def _cell(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(printable(cell))
