"""Which batches have not ended, as one process finds them again and again, without much work for the index.

While there are none, a look asks how many batches there are. What is looked through of an owner's list begins with his
oldest one that has not ended: those before it stay as they are.
"""

from __future__ import annotations

import time
from contextlib import suppress

from gateway.archive.archive import Archive
from gateway.archive.thing import Thing, ThingKind
from gateway.batches.batch import OPEN
from shared.errors import NotStored

MOST_UNFINISHED = 100
"""Batches of an API key that have not ended."""
SLOWLY = 10.0
"""Seconds after which all owners are looked at, whatever seems to be: one batch may have come as another one went."""
_KIND = ThingKind.BATCH


class OpenBatches:
    """Of one process. Raises ArchiveUnavailable."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._found = list[Thing]()
        self._count = -1
        """Batches that there were at the last look at all owners."""
        self._looked = 0.0
        """When that was."""
        self._first = dict[str, str]()
        """By owner the id of a batch: whatever stands before it has ended."""

    def find(self, *, sure: bool = False) -> list[Thing]:
        """The first ones of each owner. `sure`: also where nothing seems to have come."""
        count, now = self._archive.index.held(None, _KIND).things, time.monotonic()
        if sure or count != self._count or now - self._looked >= SLOWLY:
            owners = self._archive.index.owners(_KIND)
            self._first = {owner: self._first.get(owner, "") for owner in owners}
            self._count, self._looked = count, now
        else:
            owners = list({thing.owner: None for thing in self._found})
        self._found = [thing for owner in owners for thing in self._of(owner)]
        return self._found

    def _of(self, owner: str) -> list[Thing]:
        first, newest = self._first[owner], self._archive.page(owner, _KIND, limit=1).things
        found = list[Thing]()
        if first:
            with suppress(NotStored):
                thing = self._archive.find(owner, _KIND, first)
                found += [thing] * thing.has(OPEN)
        try:
            found += unfinished(self._archive, owner, first)
        except NotStored:  # it went, as if it had never been
            found = unfinished(self._archive, owner)
        self._first[owner] = next((thing.id for thing in (*found, *newest)), "")
        return found


def unfinished(archive: Archive, owner: str, after: str = "") -> list[Thing]:
    """Those of an owner that have not ended, the first one first."""
    how = {"after": after, "descending": False, "where": OPEN}
    return list(archive.page(owner, _KIND, limit=MOST_UNFINISHED, **how).things)
