"""Both indexes of an archive on a clock that a test sets, and what they are to hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.archive.index import Bounds, Index, NoRoom
from gateway.archive.redis_index import RedisIndex
from gateway.archive.sqlite_index import SqliteIndex
from gateway.archive.thing import Held, Page, Thing, ThingKind
from shared.errors import NotStored
from tests.stack import Stack

BEGIN = 1_800_000_000


class Clock:
    """Unix time in seconds, as it is set."""

    def __init__(self) -> None:
        self.time = BEGIN

    def __call__(self) -> float:
        return self.time


def sqlite(folder: Path, clock: Clock) -> Index:
    return SqliteIndex(folder / "archive" / "index.db", clock)


def in_redis(stack: Stack, clock: Clock) -> Index:
    """An empty one."""
    stack.redis.flushall()
    return RedisIndex(stack.redis, clock)


def thing(name: str, kind: ThingKind = ThingKind.RESPONSE, **fields: Any) -> Thing:
    return Thing(**{"id": name, "kind": kind, "owner": "ann", "created": BEGIN, **fields})


def with_blob(name: str, kind: ThingKind = ThingKind.RESPONSE, **fields: Any) -> Thing:
    return thing(name, kind, **{"blob": f"{kind}/{name[-2:]}/{name}.0123abcd", "size": 1000, **fields})


class PlainIndex:
    """What an index is to do, in the fewest words."""

    def __init__(self, clock: Clock) -> None:
        self.things: dict[str, Thing] = {}
        """In the order of their addition."""
        self.places: dict[str, int] = {}
        self.gone: dict[tuple[str, ThingKind, str], int] = {}
        """Where those stood that went by themselves."""
        self._last = 0
        self._clock = clock

    def add(self, things: Sequence[Thing], bounds: Bounds | None = None) -> bool:
        if things[0].id in self.things:
            return False
        new = dict(self.things)
        for each in things:
            if each.id not in new:
                if each.parent and (each.parent not in new or new[each.parent].owner != each.owner):
                    raise NotStored(each.parent)
                new[each.id] = each
        if bounds:
            mine, everything = _held(new, things[0].owner), _held(new, None)
            if mine.things > bounds.things or mine.size > bounds.size:
                lack = max(0, mine.things - bounds.things), max(0, mine.size - bounds.size)
                raise NoRoom(things[0].owner, *lack)
            if everything.size > bounds.total:
                raise NoRoom(None, 0, everything.size - bounds.total)
        for name in new.keys() - self.things.keys():
            self.places[name] = self._last + list(new).index(name)
        self._last += len(new)
        self.things = new
        return True

    def get(self, owner: str, kind: ThingKind, thing_id: str) -> Thing:
        found = self.things.get(thing_id)
        if not found or (found.owner, found.kind) != (owner, kind) or not self._lasts(found):
            raise NotStored(thing_id)
        return found

    def change(self, old: Thing, facts: Mapping[str, Any], expires: int) -> Thing | None:
        found = self.things.get(old.id)
        if not found or (found.owner, found.version) != (old.owner, old.version):
            return None
        self.things[old.id] = replace(found, facts=dict(facts), expires=expires, version=found.version + 1)
        return self.things[old.id]

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
        begin = self._place(owner, kind, after) if after else None
        found = []
        for name, each in reversed(self.things.items()) if descending else self.things.items():
            told = (each.owner, each.kind, each.parent) == (owner, kind, parent) and self._lasts(each)
            beyond = begin is None or (self.places[name] < begin if descending else self.places[name] > begin)
            if (
                told
                and beyond
                and all(_fact(each, *path.split(".", 1)) == fact for path, fact in (where or {}).items())
            ):
                found.append(each)
        return Page(found[:limit], len(found) > limit)

    def owners(self, kind: ThingKind) -> list[str]:
        return sorted({each.owner for each in self.things.values() if each.kind == kind})

    def count(self, parent: str) -> int:
        return sum(each.parent == parent for each in self.things.values())

    def remove(self, owner: str, kind: ThingKind, thing_id: str) -> list[Thing]:
        found = self.things.get(thing_id)
        if not found or (found.owner, found.kind) != (owner, kind):
            raise NotStored(thing_id)
        self.gone[owner, kind, thing_id] = self.places[thing_id]
        gone = [*(each for each in self.things.values() if each.parent == thing_id), found]
        for each in gone:
            del self.things[each.id]
        return gone

    def due(self, now: int) -> set[str]:
        return {name for name, each in self.things.items() if 0 < each.expires <= now}

    def first(self, owner: str, kinds: Sequence[ThingKind]) -> Thing | None:
        return next((each for each in self.things.values() if each.owner == owner and each.kind in kinds), None)

    def held(self, owner: str | None, kind: ThingKind | None = None) -> Held:
        return _held(self.things, owner, kind)

    def blobs(self, ids: Sequence[str]) -> set[str]:
        return {self.things[name].blob for name in ids if name in self.things} - {""}

    def _place(self, owner: str, kind: ThingKind, thing_id: str) -> int:
        found = self.things.get(thing_id)
        if found and (found.owner, found.kind) == (owner, kind):
            return self.places[thing_id]
        if (owner, kind, thing_id) not in self.gone:
            raise NotStored(thing_id)
        return self.gone[owner, kind, thing_id]

    def _lasts(self, each: Thing) -> bool:
        return not 0 < each.expires <= self._clock()


def _held(things: Mapping[str, Thing], owner: str | None, kind: ThingKind | None = None) -> Held:
    counted = [each for each in things.values() if owner in (None, each.owner) and kind in (None, each.kind)]
    return Held(len(counted), sum(each.weight for each in counted))


def _fact(each: Thing, name: str, inner: str | None = None) -> Any:
    fact = each.facts.get(name)
    if inner is None:
        return fact
    return fact.get(inner) if isinstance(fact, dict) else None
