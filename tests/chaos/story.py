"""What happened to a client, and what was done around it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.faults import Fault

BEFORE, AFTER = 5.0, 2.0
"""Seconds around it of which faults are told: one shows later, and another one loses what was told before."""


def tell(story: Sequence[tuple[float, str]], faults: Iterable[Fault]) -> Iterator[str]:
    """In seconds since it asked."""
    begin, end = story[0][0], story[-1][0]
    around = [(fault.at, f"-- {fault.kind}") for fault in faults if begin - BEFORE < fault.at < end + AFTER]
    for at, what in sorted((*story, *around)):
        yield f"{at - begin:+.2f} {what}"
