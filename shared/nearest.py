"""Did you mean? The name that somebody has most likely meant who typed one that there is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST_NAME = 128
"""Characters of a name that is looked at: comparing takes a time that grows with the square of them."""
_ALIKE = 0.7
"""Share of letters that two names have in common, from which on one may be a slip for the other."""


def nearest(name: str, names: Iterable[str]) -> str:
    """The one of `names` that `name` is a slip for, in capitals or in letters; empty where it is like none."""
    if len(name) > LONGEST_NAME:
        return ""
    by_plain = {_plain(known): known for known in names}
    alike = difflib.get_close_matches(_plain(name), by_plain, n=1, cutoff=_ALIKE)
    return by_plain[alike[0]] if alike else ""


def suggestion(name: str, names: Iterable[str]) -> str:
    """A sentence to go behind one that says that there is no `name`, with a blank before it; or nothing."""
    meant = nearest(name, names)
    return f" Did you mean {meant!r}?" if meant else ""


def _plain(name: str) -> str:
    """Without capitals, and what else is seldom typed as it is written."""
    return name.lower().replace("_", "-").replace(" ", "-")
