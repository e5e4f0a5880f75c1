"""The benches: what there is, and the short form of all of them, one after the other.

    python -m bench                  lists them
    python -m bench --short [NAME ...] [--json]
    python -m bench.NAME --help      one of them, as long as it takes

With --json those that have figures keep them in `docs/pictures/`, and `bench/pictures.py` draws them. Each is ended
after ten minutes. At the end stands a table; it fails where one did.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.machine import describe
from bench.pictures import FOLDER

SHORT = {
    "gateway": [],
    "streams": ["--streams", "1", "100", "--tokens", "50", "--runs", "5"],
    "lone": ["--runs", "3"],
    "open_streams": ["--streams", "10", "100", "1000"],
    "unread": [],
    "cost": ["--runs", "3"],
    "model": ["--short"],
    "weights": ["--short"],
    "engines": ["--short"],
    "settings": ["--short"],
    "prefill": ["--short"],
    "prefixes": ["--runs", "3", "--threads", "1"],
    "placement": ["--rounds", "3", "--workers", "3"],
    "depth": ["--most", "10000"],
    "scaling": ["--seconds", "4"],
    "scoring": ["--runs", "3"],
    "embeddings": ["--short"],
    "batch": ["--short"],
    "archive": ["--answers", "5000"],
    "kept": ["--rounds", "3"],
    "stored": ["--rounds", "3"],
    "overview": ["--rounds", "3", "--seconds", "10", "--streams", "200"],
    "survival": ["--requests", "20"],
    "growth": ["--rounds", "1"],
}
"""By name, what makes it short: a minute or two of a machine that does nothing else."""
FIGURES = ("model", "weights", "engines", "settings", "placement", "open_streams")
"""Those with --json."""
LONGEST = 600
"""Seconds of one."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="the benches, and all of them in short")
    parser.add_argument("names", nargs="*", choices=[*SHORT, []], metavar="NAME", help="just these")
    parser.add_argument("--short", action="store_true", help="run them in their short form")
    parser.add_argument("--json", action="store_true", help="keep the figures, and draw them")
    given = parser.parse_args()
    if not given.short:
        for name, flags in SHORT.items():
            print(f"{name:11} {_says(name)}\n{'':11} short: {' '.join(('python -m bench.' + name, *flags))}")
        return
    rows, failed, begun = ["| bench | seconds | |", "|---|---|---|"], 0, time.monotonic()
    for name in given.names or SHORT:
        keeps = ["--json", str((FOLDER / f"{name}.json").relative_to(Path.cwd()))] if given.json else []
        started, flags = time.monotonic(), [*SHORT[name], *(keeps if name in FIGURES else [])]
        print(f"\n## {name}\n\n`python -m bench.{name} {' '.join(flags)}`\n".replace(" `", "`"), flush=True)
        how = _run(name, flags)
        failed += how != "ended"
        rows.append(f"| {name} | {time.monotonic() - started:.0f} | {how} |")
    if given.json:
        _run("pictures", [])
    print("\n## All\n\n" + "\n".join(rows))
    print(f"\n{time.monotonic() - begun:.0f} s in all; {describe('inferq', 'xllamacpp')}")
    sys.exit(bool(failed))


def _run(name: str, flags: list[str]) -> str:
    """How it ended. What it has started ends with it, also where it does not come to its own end."""
    command = [sys.executable, "-m", f"bench.{name}", *flags]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return "ended" if not child.wait(LONGEST) else f"failed: {child.returncode}"
    except subprocess.TimeoutExpired:
        return f"not over after {LONGEST} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _says(name: str) -> str:
    """The first sentence of its docstring."""
    found = importlib.util.find_spec(f"bench.{name}")
    assert found
    assert found.origin
    text = Path(found.origin).read_text("utf-8").split('"""', 2)[1].split("\n\n")[0]
    return " ".join(text.split())


if __name__ == "__main__":
    main()
