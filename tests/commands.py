"""`inferq` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

KEPT = ("INFERQ_THREADS", "INFERQ_AS_IS")
"""See tests/conftest.py."""


def environment(**more: str) -> dict[str, str]:
    """Ours without the settings that it may hold but for those of all tests, and these."""
    return {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith("INFERQ_")} | more


def inferq(*arguments: str | Path, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """What it prints, and its exit status."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "inferq", *map(str, arguments)],
        input=given,
        env=environment(**environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def output(*arguments: str | Path, given: str = "") -> str:
    """Of a run that has to end well."""
    done = inferq(*arguments, given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout
