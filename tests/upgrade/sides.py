"""The two releases of a run, each as the command that starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Side:
    """One release."""

    name: str
    command: tuple[str, ...]
    """What `inferq` is there."""
    folder: Path = ROOT
    unknown: Collection[str] = ()
    """Settings that it does not know, and does not start with."""

    def environ(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """What gives it those of these settings that it knows."""
        known = {name: value for name, value in settings.items() if name not in self.unknown}
        return {**os.environ, **{f"INFERQ_{name.upper()}": str(value) for name, value in known.items()}}

    def run(self, *arguments: str, **settings: Any) -> tuple[bool, str]:
        """Run a command that ends; whether it ended well, and what it printed."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environ(settings),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        return done.returncode == 0, done.stdout + done.stderr


THIS = Side("this tree", (sys.executable, "-P", "-m", "inferq"))
MADE_UP = Side("a made-up newer one", (sys.executable, "-P", str(Path(__file__).with_name("newer.py"))))
