"""How much may be stored, of each owner and of all, and what makes room for more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable

from gateway.archive.index import Bounds, Index, NoRoom
from gateway.archive.thing import ANSWERS, Held, Thing
from shared.config import Config
from shared.errors import ArchiveFull

MOST_EVICTED = 500
"""Answers that make room in one step."""
_SMALL = 65_536
"""Bytes that are taken in before there is a look at whether they have room: what is no larger is looked at once, when
it is added."""


class Allowance:
    """Answers make room for whatever is added, the oldest first; where none are left, it is refused."""

    def __init__(self, index: Index, config: Config) -> None:
        self.bounds = Bounds(
            config.archive_key_things, config.archive_key_bytes or config.archive_bytes // 4, config.archive_bytes
        )
        self._index = index
        self._coming = Counter[str]()
        """Bytes that this process receives at the moment, by owner: nothing else counts them yet."""

    def check(self, owner: str, size: int = 0) -> None:
        """Raises ArchiveFull where a thing of so many bytes would be refused, whatever makes room."""
        mine, all_things = self._fixed(owner), self._fixed(None)
        if mine.things >= self.bounds.things:
            raise _full(
                f"your API key has stored the {self.bounds.things} things that it may (INFERQ_ARCHIVE_KEY_THINGS)"
            )
        if mine.size + size > self.bounds.size:
            raise _full(f"your API key may store {self.bounds.size} bytes (INFERQ_ARCHIVE_KEY_BYTES)")
        if all_things.size + size > self.bounds.total:
            raise _full(f"all API keys together may store {self.bounds.total} bytes (INFERQ_ARCHIVE_BYTES)")

    def measure(self, owner: str, content: Iterable[bytes]) -> Generator[bytes]:
        """The content as it comes, as long as there can be room for it. Raises ArchiveFull."""
        mine, left, left_of_all = 0, -1, -1
        try:
            for piece in content:
                mine += len(piece)
                self._coming[owner] += len(piece)
                if mine > _SMALL:
                    if left < 0:
                        left = self.bounds.size - self._fixed(owner).size
                        left_of_all = self.bounds.total - self._fixed(None).size
                    if self._coming[owner] > left or self._coming.total() > left_of_all:
                        self.check(owner, self._coming[owner])
                        raise _full("all that is received at this moment has no room")
                yield piece
        finally:
            self._coming[owner] -= mine
            if not self._coming[owner]:
                del self._coming[owner]

    def make(self, lack: NoRoom) -> list[Thing]:
        """The answers that went for what has found no room. Raises ArchiveFull, and then none did."""
        answers = [self._index.held(lack.owner, kind) for kind in ANSWERS]
        if sum(held.things for held in answers) >= lack.things and sum(held.size for held in answers) >= lack.size:
            size, things = lack.size, lack.things
            if gone := self._index.evict(lack.owner, ANSWERS, things=things, size=size, most=MOST_EVICTED):
                return gone
        if lack.owner is not None:
            self.check(lack.owner, lack.size)
        raise _full("what it may hold is held by what does not make room: files, conversations and the like")

    def _fixed(self, owner: str | None) -> Held:
        """What is held beside answers: by an owner, or by all."""
        held, answers = self._index.held(owner), [self._index.held(owner, kind) for kind in ANSWERS]
        return Held(held.things - sum(a.things for a in answers), held.size - sum(a.size for a in answers))


def _full(why: str) -> ArchiveFull:
    return ArchiveFull(f"There is no room to store this: {why}. Please remove something first.")
