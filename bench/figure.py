"""What a bench has measured, as a Markdown table and as a file of which `bench/pictures.py` draws.

A bench fills a `Figure` with the value of each round, prints its `table`, and gives `--json FILE` to `keep`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.machine import describe, spread

Rounds = dict[str, list[float]]
"""By what stands below the picture, such as the number of streams, the value of each round."""


@dataclass
class Figure:
    """One picture, and the table beside it. What is compared with is in `series` like everything else."""

    name: str
    """Of its file, `docs/pictures/NAME.svg`."""
    title: str
    across: str
    """What stands below, with its unit."""
    up: str
    """What is measured, with its unit."""
    ours: str
    """The series that is compared with each of the others, round by round."""
    series: dict[str, Rounds] = field(default_factory=dict)
    less: bool = False
    """Whether less is better; it is said in the picture."""
    digits: int = 0
    line: bool = False
    """Whether what stands below are numbers, so that lines are drawn and not bars."""

    def add(self, series: str, at: str, value: float) -> None:
        self.series.setdefault(series, {}).setdefault(at, []).append(value)

    @property
    def places(self) -> list[str]:
        """Those of any series, in their order."""
        return list(dict.fromkeys(at for rounds in self.series.values() for at in rounds))

    def ratios(self, other: str, at: str) -> list[float]:
        """Ours to the other's, round by round."""
        pairs = zip(self.series[self.ours].get(at, []), self.series[other].get(at, []), strict=True)
        return [ours / theirs for ours, theirs in pairs if theirs]

    def table(self) -> str:
        """Markdown: medians with the least and the most, and the ratio to each of the others."""
        others = [name for name in self.series if name != self.ours]
        head = [self.across, *(f"{name}, {self.up}" for name in self.series), *(f"/ {name}" for name in others)]
        rows = [head, ["---"] * len(head)]
        for at in self.places:
            cells = [self._cell(self.series[name].get(at, [])) for name in self.series]
            pairs = (self.ratios(name, at) if at in self.series[name] else [] for name in others)
            rows.append([at, *cells, *(spread(pair) if pair else "-" for pair in pairs)])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def median(self, series: str, at: str) -> float | None:
        values = self.series[series].get(at)
        return statistics.median(values) if values else None

    def beside(self, before: Figure) -> Figure:
        """This, and what `before` has of places that this one has not."""
        series = {
            name: {at: values for at, values in before.series.get(name, {}).items() if at not in self.places}
            | self.series.get(name, {})
            for name in {**before.series, **self.series}
        }
        return replace(self, series=series)

    def _cell(self, values: Sequence[float]) -> str:
        return spread(values, "", self.digits) if values else "-"


def add_json(parser: argparse.ArgumentParser) -> None:
    """The flags of all benches that have figures."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there, for bench.pictures")
    parser.add_argument("--beside", action="store_true", help="and what FILE has of parts that this run has not")


def keep(given: argparse.Namespace, figures: Sequence[Figure], *packages: str) -> None:
    """Write them with the machine, the date and the command, where a file was named. `given`: what `add_json` took."""
    path: Path | None = given.json
    if not path:
        return
    command = f"python -m {Path(sys.argv[0]).parent.name}.{Path(sys.argv[0]).stem} {' '.join(sys.argv[1:])}"
    command = " ".join(command.replace(f"--json {path}", "").replace("--beside", "").split())
    if given.beside and path.exists():
        before = json.loads(path.read_text("utf-8"))
        command = "; ".join(dict.fromkeys([*before["command"].split("; "), command]))
        known = {fields["name"]: Figure(**fields) for fields in before["figures"]}
        figures = [figure.beside(known[figure.name]) if figure.name in known else figure for figure in figures]
    told = {"machine": describe(*packages), "date": f"{datetime.now(UTC):%Y-%m-%d}", "command": command}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**told, "figures": [asdict(figure) for figure in figures]}, indent=1) + "\n")
