"""What an index is: it knows what is stored, in order, and changes in one step or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from gateway.archive.thing import Held, Page, Thing, ThingKind

MOST_PAGE = 100
"""Things of one page."""


class Index(Protocol):
    """Every gateway process uses the same. Its methods wait without keeping the process's other requests waiting."""

    def add(self, things: Sequence[Thing]) -> bool:
        """All of them in one step, in this order. False, and nothing is added, where the first one's id is there.

        Raises NotStored where a parent is not there (and not among them before), of the same owner.
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

        Raises NotStored where there is no such `after`.
        """

    def remove(self, owner: str, kind: ThingKind, thing_id: str) -> list[Thing]:
        """It, and first its parts: all that went. Raises NotStored."""

    def expired(self, now: int, most: int) -> list[Thing]:
        """Those that are to go, some of them."""

    def oldest(self, owner: str, kinds: Sequence[ThingKind], most: int) -> list[Thing]:
        """An owner's first ones of these kinds."""

    def held(self, owner: str | None) -> Held:
        """By an owner, or by all."""

    def walk(self) -> Iterator[Thing]:
        """All of them, for an audit."""

    def close(self) -> None:
        """Let go of what is open."""
