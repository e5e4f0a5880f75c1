"""What benches have measured: a table, a file that several runs fill, and a picture of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.figure import Figure, add_json, keep
from bench.pictures import draw


def figure(**places: float) -> Figure:
    made = Figure("speed", "Tokens a second", "streams", "tokens/s", "ours", line=True)
    for at, value in places.items():
        made.add("ours", at.removeprefix("of"), value)
        made.add("theirs", at.removeprefix("of"), 2 * value)
    return made


def options(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_json(parser)
    return parser.parse_args(flags)


def test_parts_of_a_bench_are_joined_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    keep(options("--json", str(path), "--beside"), [figure(of1=10, of4=40)])
    keep(options("--json", str(path), "--beside"), [figure(of4=44, of8=80)])
    (joined,) = json.loads(path.read_text())["figures"]
    assert joined["series"]["ours"] == {"1": [10], "4": [44], "8": [80]}
    assert joined["series"]["theirs"] == {"1": [20], "4": [88], "8": [160]}
    table = Figure(**joined).table().splitlines()
    assert table[-1] == "| 8 | 80 (80 to 80) | 160 (160 to 160) | 0.50 (0.50 to 0.50) |"


def test_a_run_that_is_not_a_part_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    keep(options("--json", str(path)), [figure(of1=10)])
    keep(options("--json", str(path)), [figure(of8=80)])
    (kept,) = json.loads(path.read_text())["figures"]
    assert kept["series"]["ours"] == {"8": [80]}


def test_a_picture_has_each_place_and_each_side() -> None:
    picture = draw(figure(of10=1, of5000=300), {"date": "2026-01-01", "command": "it", "machine": "this"})
    for text in ("Tokens a second", ">10<", ">5000<", ">ours<", ">theirs<"):
        assert text in picture
