"""`make footprints`: what models are said to take of the memory, and what they take, in control groups with a bound.

    python -m tests.load.footprints [--draws N] [--seed N] [--at-once N] [--kind KIND] [--record FILE]

Each draw is a model of some kind, slots, step, context and budget; a worker's engine loads it and reads a prompt that
fills the context, where that is small. It is wrong where anything is killed, where more is taken than was calculated
and a tenth, or less than was calculated less a tenth. Root, and the memory controller of control groups, are needed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.load.kinds import make_all
from tests.memory_group import MemoryGroup, why_not

NEAR = 0.1
MIB = 1 << 20
_LONGEST = 2100
"""Tokens of a prompt: larger contexts are not filled, and what a step takes in them is not seen."""
_LIMITS = (128, 160, 256, 400, 700, 1000)
"""MiB."""


@dataclass(frozen=True)
class Draw:
    kind: str
    settings: Mapping[str, Any]
    limit: int
    """Bytes of the control group."""
    scored: bool
    """Whether a prompt is scored at last, for which there may be no room: nothing may be killed then."""


def draw(kinds: Iterable[str], seed: str) -> Draw:
    draws = random.Random(seed)
    kind, limit = draws.choice(sorted(kinds)), draws.choice(_LIMITS) * MIB
    settings: dict[str, Any] = {"slots": draws.choice((1, 2, 4, 8)), "batch_size": draws.choice((32, 128, 512))}
    if draws.random() < 0.7:
        settings["context"] = draws.choice((512, 1024, 1500, 2048, 2048, 30_000))
    if draws.random() < 0.3:
        settings["memory"] = str(int(limit * draws.uniform(0.3, 1.2)))
    if not kind.startswith(("ctransformers", "vectors")):
        more = draws.choice(({}, {}, {}, {"kv_cache": "q8_0"}, {"attention": "plain"}, {"speculation": "ngram"}))
        settings |= {} if kind == "draft" and "speculation" in more else more
    return Draw(kind, settings, limit, draws.random() < 0.15)


def try_out(kinds: Mapping[str, Mapping[str, Any]], folder: Path, drawn: Draw) -> dict[str, Any]:
    """What `tests.load.filled` says; `most` bytes that were in use, `killed` processes, and what is `wrong`."""
    fills = {"fills": _LONGEST, "scored": drawn.scored and not drawn.kind.startswith("vectors")}
    with MemoryGroup(drawn.limit) as group:
        told = start(group, folder, {**fills, "model": kinds[drawn.kind], **drawn.settings})
        told |= {"kind": drawn.kind, "limit": drawn.limit, "settings": drawn.settings}
        told |= {"most": group.most, "killed": group.killed}
    return told | {"wrong": judge(told)}


def start(group: MemoryGroup, folder: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.load.filled", str(group.entry), json.dumps(given, default=str)],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        env={**os.environ, "XDG_CACHE_HOME": str(folder)},
    )
    if ran.returncode:
        return {"failed": f"it ended with {ran.returncode}: {ran.stderr[-1500:]}"}
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def judge(told: Mapping[str, Any]) -> str:
    """What is wrong; empty where nothing is."""
    if told["killed"] or "failed" in told:
        return str(told.get("failed", "a process was killed"))
    if "refused" in told:
        return "" if "What helps:" in told["refused"] else "it does not say what helps"
    calculated, most, parts = told["calculated"], told["most"], told["parts"]
    if calculated > told["limit"]:
        return "it was started although it does not fit"
    if "scored" in told or "unscored" in told:
        return "" if most <= told["limit"] else "it takes more than there is"
    if most > calculated * (1 + NEAR):
        return "it takes more"
    filled = told["read"] >= told["context"] - 4  # else what a step takes in a full context was not seen
    least = 0 if told["bound"] else calculated - (0 if filled else parts.get("compute", 0) + parts.get("cache", 0))
    return "it takes less" if most < least * (1 - NEAR) else ""


def summarise(found: Iterable[Mapping[str, Any]]) -> str:
    """A table in Markdown, a line a kind."""
    rows = ["| kind | measured | refused | of what was calculated | wrong |", "|---|---|---|---|---|"]
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for told in found:
        by_kind.setdefault(told["kind"], []).append(told)
    for kind, all_of_it in sorted(by_kind.items()):
        shares = [each["most"] / each["calculated"] for each in all_of_it if compared(each)]
        spread = f"{min(shares):.2f} to {max(shares):.2f}" if shares else "-"
        started = sum("calculated" in each for each in all_of_it)
        refused = sum("refused" in each for each in all_of_it)
        rows.append(f"| {kind} | {started} | {refused} | {spread} | {sum(bool(e['wrong']) for e in all_of_it)} |")
    return "\n".join(rows)


def compared(told: Mapping[str, Any]) -> bool:
    """Whether all that was calculated was used."""
    if "calculated" not in told or "scored" in told or "unscored" in told:
        return False
    return bool(told["read"] >= told["context"] - 4)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--kind", action="append")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin none after so many")
    parser.add_argument("--record", type=Path, help="a file to which each draw adds a line of JSON")
    asked = parser.parse_args()
    if why := why_not():
        sys.exit(why)
    print(f"seed {asked.seed}", flush=True)  # noqa: T201 - it is the answer
    until = time.monotonic() + asked.seconds
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(asked.at_once) as pool:
        folder = Path(scratch)
        kinds = make_all(folder / "models")
        drawn = [draw(asked.kind or kinds, f"{asked.seed} {number}") for number in range(asked.draws)]

        def measure(each: Draw) -> dict[str, Any] | None:
            return try_out(kinds, folder, each) if time.monotonic() < until else None

        for told in pool.map(measure, drawn):
            if told is None:
                continue
            found.append(told)
            if asked.record:
                with asked.record.open("a") as file:
                    file.write(json.dumps(told) + "\n")
            if told["wrong"]:
                print(json.dumps(told), flush=True)  # noqa: T201 - it is the answer
    wrong, killed = sum(bool(each["wrong"]) for each in found), sum(each["killed"] for each in found)
    print(f"{summarise(found)}\n\n{len(found)} draws, {wrong} wrong, {killed} killed")  # noqa: T201 - it is the answer
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
