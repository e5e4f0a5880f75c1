"""What every benchmark prints: the machine, and figures as median with spread."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version

from shared.cores import processor, usable


def describe(*packages: str) -> str:
    """One line about this machine and the packages that matter."""
    load = f"{os.getloadavg()[0]:.2f}"
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    python = f"Python {platform.python_version()}"
    return (
        f"{platform.system()} {platform.machine()}, {processor()}, {usable()} cores, load {load}; {python}, {versions}"
    )


def spread(values: Sequence[float], unit: str = "", digits: int = 2) -> str:
    """`median (least to most)`"""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
