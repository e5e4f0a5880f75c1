"""What an index is: it knows what is stored, in order, and changes in one step or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from gateway.archive.thing import Held, Page, Thing, ThingKind
from shared.audit import Finding

MOST_PAGE = 100
"""Things of one page."""
REMEMBERED = 3600
"""Seconds for which it is known where a thing stood that went: who removes what a list tells reads on after it."""
MOST_REMEMBERED = 1_000
"""Things that went of which that is known, of an owner: of the last ones, at least of half as many."""
MOST_REMEMBERED_OF_ALL = 1_000_000
"""The same, of all owners."""


class Bounds(NamedTuple):
    """How much may be held once things were added."""

    things: int
    """Of their owner."""
    size: int
    """Bytes, of their owner: see `Thing.weight`."""
    total: int
    """Bytes, of all owners."""


class NoRoom(Exception):
    """More would be held than may be, so nothing was added. It is for `Archive` alone, which makes room."""

    def __init__(self, owner: str | None, things: int, size: int) -> None:
        """`owner` is None where it is too much of all owners; `things` and `size` say by how much, or are 0."""
        super().__init__(f"{things} things and {size} bytes too many")
        self.owner = owner
        self.things = things
        self.size = size


class Index(Protocol):
    """Every gateway process uses the same. Its methods wait without keeping the process's other requests waiting.

    They raise ArchiveUnavailable.
    """

    def add(self, things: Sequence[Thing], bounds: Bounds | None = None) -> bool:
        """All of them in one step, in this order. False, and nothing is added, where the first one's id is there.

        All are one owner's. Raises NotStored where a parent is not there (and not among them before), of the same
        owner; NoRoom where they would take it beyond the bounds, the owner's own first.
        """

    def get(self, owner: str, kind: ThingKind, thing_id: str) -> Thing:
        """Raises NotStored: also for what is another owner's, or has expired."""

    def change(self, old: Thing, facts: Mapping[str, Any], expires: int) -> Thing | None:
        """What `old` is from now on. None, and nothing is changed, where it was changed or removed meanwhile."""

    def page(
        self,
        owner: str,
        kind: ThingKind,
        *,
        limit: int,
        after: str = "",
        parent: str = "",
        descending: bool = True,
        where: Mapping[str, str] | None = None,
    ) -> Page:
        """Those after the one with the id `after`, whose facts have these values; a dotted name lies deeper.

        Raises NotStored where there is no such `after`, nor was there one lately: one that has expired or went by
        itself, see REMEMBERED, stands where it stood.
        """

    def owners(self, kind: ThingKind) -> list[str]:
        """Who has any things of a kind, in the order of the alphabet."""

    def count(self, parent: str) -> int:
        """How many parts a thing has."""

    def remove(self, owner: str, kind: ThingKind, thing_id: str) -> list[Thing]:
        """It, and first its parts: all that went. Raises NotStored."""

    def expire(self, now: int, most: int) -> list[Thing]:
        """Remove those that are to go by then, up to so many of them, with their parts: all that went."""

    def evict(self, owner: str | None, kinds: Sequence[ThingKind], *, things: int, size: int, most: int) -> list[Thing]:
        """Remove the owner's first ones of these kinds until so many things and so many bytes went, or `most` things.

        None is the owner who holds the most bytes, among those who have any of these kinds. All that went; empty
        where nothing is left to go. One is removed at least, where there is one.
        """

    def held(self, owner: str | None, kind: ThingKind | None = None) -> Held:
        """By an owner, or by all; of all kinds, or of one. It costs the same however much there is."""

    def blobs(self, ids: Sequence[str]) -> set[str]:
        """The names of the blobs of those things that are there, whoever's, also of those that have expired."""

    def identity(self) -> str:
        """What tells this index from any other: made with it, and the same as long as it is."""

    def take_turn(self, work: str, seconds: float) -> bool:
        """Whether it is the caller's turn to do what is done once in so many seconds, by one process of all."""

    def walk(self) -> Iterator[Thing]:
        """All of them, for an audit: also those that have expired."""

    def audit(self) -> Iterator[Finding]:
        """What is wrong within: counts, and parts whose whole is not there. It works while others write."""

    def close(self) -> None:
        """Let go of what is open."""
