"""Draws what benches have measured: small SVGs, for light and dark pages, of the files that `--json` wrote.

    python -m bench.model --json docs/pictures/model.json
    python -m bench.pictures [FILE ...]

Without files all of `docs/pictures/*.json`. A figure becomes `NAME.svg` beside its file: medians, with the least and
the most of the rounds as a whisker; machine, date and command stand below.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bench.figure import Figure

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 360, 64, 16, 64, 96
_LETTER = 5.6
"""Width of one, of the smallest size."""
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #3d4450 } .small { font-size: 10.5px }
.title { font-size: 15px; font-weight: 600 }
.axis { stroke: #8b93a1 } .grid { stroke: #8b93a1; stroke-opacity: .25 } .whisker { stroke: #3d4450; fill: none }
.c0 { --c: #2563c9 } .c1 { --c: #c4610c } .c2 { --c: #4b8b3b } .c3 { --c: #8a4fbf }
.bar, .dot { fill: var(--c) } .line { stroke: var(--c); stroke-width: 2; fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #c9d1dc } .whisker { stroke: #c9d1dc }
.c0 { --c: #6ea8ff } .c1 { --c: #f0994a } .c2 { --c: #7fc46d } .c3 { --c: #c49bf0 }
}
"""


class Scale:
    """From values to places, in proportion or, where they span much, in that of their logarithms."""

    def __init__(self, values: Sequence[float], start: float, end: float, *, zero: bool) -> None:
        low, high = min(values), max(values)
        self.logarithmic = low > 0 and high / low > 30
        self._start, self._end = start, end
        if self.logarithmic:
            self.ticks = list(_powers(low, high))
            self._low, self._high = math.log(min(low, self.ticks[0])), math.log(max(high, self.ticks[-1]))
        else:
            step = _round_step((high - (0 if zero else low)) / 5 or 1)
            first = 0 if zero else math.floor(low / step)
            self.ticks = [number * step for number in range(first, math.ceil(high / step) + 1)]
            self._low, self._high = self.ticks[0], self.ticks[-1]

    def __call__(self, value: float) -> float:
        at = math.log(value) if self.logarithmic else value
        return self._start + (at - self._low) / ((self._high - self._low) or 1) * (self._end - self._start)


def draw(figure: Figure, told: dict[str, Any]) -> str:
    """The SVG."""
    values = [value for rounds in figure.series.values() for each in rounds.values() for value in each]
    up = Scale(values, HEIGHT - BOTTOM, TOP, zero=True)
    parts = [*_frame(figure, told), *_grid(up)]
    parts += _lines(figure, up) if figure.line else _bars(figure, up)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    return f'{head} aria-label="{escape(figure.title)}">\n<style>{_STYLE}</style>\n' + "\n".join(parts) + "\n</svg>\n"


def _frame(figure: Figure, told: dict[str, Any]) -> Iterator[str]:
    """All that is written around the picture."""
    better = f"{figure.up}, {'less' if figure.less else 'more'} is better"
    yield _text(LEFT, 20, figure.title, "title")
    yield _text(LEFT, TOP - 10, better, "small")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 34, figure.across, "small", "middle")
    at = float(LEFT)
    for number, name in enumerate(figure.series):
        yield f'<rect class="bar c{number}" x="{at:.0f}" y="30" width="10" height="10"/>'
        yield _text(at + 14, 39, name)
        at += 30 + 6.6 * len(name)
    lines = (f"{told['date']}, {told['command']}; median, least and most of the rounds", told["machine"])
    for number, line in enumerate(lines):
        most = int((WIDTH - LEFT - RIGHT) / _LETTER)
        yield _text(
            LEFT, HEIGHT - 32 + 16 * number, line if len(line) <= most else line[: most - 1] + "\u2026", "small"
        )


def _grid(up: Scale) -> Iterator[str]:
    for tick in up.ticks:
        y = up(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(LEFT - 8, y + 4, f"{tick:,.6g}", "small", "end")
    yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>'


def _bars(figure: Figure, up: Scale) -> Iterator[str]:
    room = (WIDTH - LEFT - RIGHT) / len(figure.places)
    width = min(44.0, room * 0.8 / len(figure.series))
    for place, at in enumerate(figure.places):
        middle = LEFT + room * (place + 0.5)
        yield _text(middle, HEIGHT - BOTTOM + 17, at, "", "middle")
        for number, rounds in enumerate(figure.series.values()):
            if seen := rounds.get(at):
                x, top = middle + width * (number - len(figure.series) / 2), up(statistics.median(seen))
                size = f'width="{width - 2:.1f}" height="{HEIGHT - BOTTOM - top:.1f}"'
                yield f'<rect class="bar c{number}" x="{x:.1f}" y="{top:.1f}" {size}/>'
                yield _whisker(x + width / 2 - 1, up, seen)


def _lines(figure: Figure, up: Scale) -> Iterator[str]:
    """What stands below are numbers."""
    numbers = {at: float(at.replace(",", "")) for at in figure.places}
    across = Scale(list(numbers.values()), LEFT + 20, WIDTH - RIGHT - 20, zero=False)
    for at, number in numbers.items():
        yield _text(across(number), HEIGHT - BOTTOM + 17, at, "", "middle")
    for number, rounds in enumerate(figure.series.values()):
        points = [(across(numbers[at]), statistics.median(seen), seen) for at, seen in rounds.items()]
        path = " ".join(f"{x:.1f},{up(value):.1f}" for x, value, _ in points)
        yield f'<polyline class="line c{number}" points="{path}"/>'
        for x, value, seen in points:
            yield f'<circle class="dot c{number}" cx="{x:.1f}" cy="{up(value):.1f}" r="3.5"/>'
            yield _whisker(x, up, seen)


def _whisker(x: float, up: Scale, seen: Sequence[float]) -> str:
    low, high = up(min(seen)), up(max(seen))
    return f'<path class="whisker" d="M{x - 3:.1f} {low:.1f}h6M{x:.1f} {low:.1f}V{high:.1f}M{x - 3:.1f} {high:.1f}h6"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _round_step(step: float) -> float:
    """The next of 1, 2, 5, 10 and so on."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)


def _powers(low: float, high: float) -> Iterator[float]:
    """Of ten, from the last below to the first above."""
    power = math.floor(math.log10(low))
    while True:
        yield 10.0**power
        if 10.0**power >= high:
            return
        power += 1


def main() -> None:
    parser = argparse.ArgumentParser(description="pictures of what benches have measured")
    parser.add_argument("files", type=Path, nargs="*", help=f"which --json wrote [{FOLDER.name}/*.json]")
    for path in parser.parse_args().files or sorted(FOLDER.glob("*.json")):
        told = json.loads(path.read_text("utf-8"))
        for fields in told.pop("figures"):
            figure = Figure(**fields)
            picture = path.with_name(f"{figure.name}.svg")
            picture.write_text(draw(figure, told), "utf-8")
            print(picture)


if __name__ == "__main__":
    main()
