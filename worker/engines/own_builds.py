"""The `llama-server` programs that `inferq engine build` has made on this machine, each in a folder of its version."""

from __future__ import annotations

from pathlib import Path

from shared import folders

PROGRAM = "llama-server"
GRAMMARS = "+llguidance"
"""The end of a version's name whose answers keep to schemas."""


def folder() -> Path:
    """Raises ConfigError where the user has no home."""
    return folders.cache() / "engines"


def builds() -> list[Path]:
    """The programs, the latest last."""
    found = [path for path in folder().glob(f"*/{PROGRAM}") if path.is_file()]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def latest() -> str:
    """The path of the latest; empty where there is none."""
    return str(builds()[-1]) if builds() else ""
