"""The two releases of a run, each as the command that starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Side:
    """One release."""

    name: str
    command: tuple[str, ...]
    """What `inferq` is there."""
    folder: Path = ROOT

    def run(self, *arguments: str, redis_url: str) -> tuple[bool, str]:
        """Run a command that ends; whether it ended well, and what it printed."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env={**os.environ, "INFERQ_REDIS_URL": redis_url},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode == 0, done.stdout + done.stderr


THIS = Side("this tree", (sys.executable, "-P", "-m", "inferq"))
MADE_UP = Side("a made-up newer one", (sys.executable, "-P", str(Path(__file__).with_name("newer.py"))))
