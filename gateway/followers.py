"""Who follows jobs at /v1/jobs/{id}/events: each costs a connection and a mailbox, so there are only so many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import TooManyFollowers

MOST_FOLLOWERS = 32
"""Of one job in one process."""


class Followers:
    """The followers of this process, counted by job and by API key."""

    def __init__(self, most: int) -> None:
        """`most` is how many one API key may have."""
        self._most = most
        self._counts: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def admitted(self, job_id: str, owner: str) -> Iterator[None]:
        """Raises TooManyFollowers."""
        job, key = ("job", job_id), ("key", owner)
        if self._counts[job] >= MOST_FOLLOWERS:
            raise TooManyFollowers(f"{MOST_FOLLOWERS} connections follow the job already, as many as may.")
        if self._counts[key] >= self._most:
            raise TooManyFollowers(f"This API key follows jobs on {self._most} connections already, as many as it may.")
        self._counts.update((job, key))
        try:
            yield
        finally:
            for each in (job, key):
                self._counts[each] -= 1
                if not self._counts[each]:
                    del self._counts[each]
