"""Places for what takes long and holds something: so many of a process, and some of them of one API key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import GatewayBusy


class Places:
    """Those for one kind of work."""

    def __init__(self, work: str) -> None:
        """`work` is what there may be too much of, in words."""
        self._work = work
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, owner: str, most: int, most_of_key: int) -> Iterator[None]:
        """One of them, meanwhile. Raises GatewayBusy where there is none."""
        if self._taken.total() >= most or self._taken[owner] >= most_of_key:
            raise GatewayBusy(f"Too many {self._work} at this moment. Please try again.")
        self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
