"""How long a model stays loaded that nobody asks for, and how many workers it may have, as a user writes it."""

from __future__ import annotations

import math
import re

ALWAYS = math.inf
"""Seconds that a model stays that is to be there always."""
KEEP_WORDS = "`always`, or for how long nobody may ask for it, such as 30s, 10m or 2h"
MOST_WORKERS = 64
WORKERS_WORDS = f"1 to {MOST_WORKERS}, or the least and the most of that, such as 1..4"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def read_keep(text: str) -> float:
    """Seconds. Raises ValueError."""
    if not re.fullmatch(r"always|[0-9]{1,6}[smh]", text):
        raise ValueError(text)
    return ALWAYS if text == "always" else int(text[:-1]) * _UNITS[text[-1]]


def read_workers(text: str) -> tuple[int, int]:
    """The least and the most. Raises ValueError."""
    said = re.fullmatch(r"([0-9]{1,3})(?:\.\.([0-9]{1,3}))?", text)
    low, high = (int(said[1]), int(said[2] or said[1])) if said else (0, 0)
    if not 1 <= low <= high <= MOST_WORKERS:
        raise ValueError(text)
    return low, high
