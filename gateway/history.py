"""The last hour as this process has read it: minutes that are over do not change, so each is read once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from redis import Redis

from shared import history
from shared.history import STEP, STEPS, Bucket

MOST_HOURS = 32
"""Owners whose last hour a process remembers, the latest that somebody looked at: up to some 200 kB each."""
TAIL = 2
"""Minutes at the end that may change still: a job that ends counts in the minute in which its script has begun."""


class Hours:
    """The last hour, by owner."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._known: OrderedDict[str, dict[int, Bucket]] = OrderedDict()

    def read(self, owner: str, at: float, tail: Sequence[Bucket]) -> list[Bucket]:
        """The minutes of the hour that ends with the one of `at`, of which `tail` are the last ones.

        Raises what Redis does.
        """
        starts = range(first_minute(at), minute(at) - (TAIL - 1) * STEP, STEP)
        known = self._known.get(owner, {})
        missing = [start for start in starts if start not in known]
        found = dict(zip(missing, history.read(self._client, missing, owner), strict=True)) if missing else {}
        self._known[owner] = known = {start: found.get(start) or known.get(start, {}) for start in starts}
        self._known.move_to_end(owner)
        while len(self._known) > MOST_HOURS:
            self._known.popitem(last=False)
        return [*known.values(), *tail]


def minute(at: float) -> int:
    """When the one began, as a Unix time."""
    return int(at) // STEP * STEP


def first_minute(at: float) -> int:
    """That of the hour which ends with the minute of `at`."""
    return minute(at) - (STEPS - 1) * STEP
