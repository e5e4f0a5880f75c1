"""The index in Redis, where gateways of several machines share an archive.

It is as safe as all that Redis holds: what is told to be written is in the append-only file. Answers need no wait for
that, for their jobs are in the same file before them: a Redis that lost its last second lost an answer's place here
and its leave from the queue alike, and it is stored again. It leaves only where its place is still there, for Redis may
come back between the two.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from threading import Semaphore
from typing import Any

from msgspec.json import encode
from redis import Redis
from redis.exceptions import NoPermissionError

from gateway.archive import redis_audit
from gateway.archive.index import Bounds, NoRoom
from gateway.archive.redis_thing import pack, unpack, unpack_all
from gateway.archive.scripts import script
from gateway.archive.thing import ANSWERS, Held, Page, Thing, ThingKind
from gateway.memory import limit_of
from shared.audit import Finding
from shared.config import Config
from shared.errors import ArchiveUnavailable, NotStored, StoreUnavailable
from shared.keys import Key
from shared.store import Outage, connect

MOST_OF_MEMORY = 0.25
"""The part of Redis's memory that the index may take."""
MOST_FILTERED = 2
"""Filtered pages that a process looks for at one time: each keeps Redis at work until it is full or all was seen."""
_ASKED = 10.0
"""Seconds for which Redis's memory is believed to be as it was."""
_TRIES = 3
"""How often something is written that Redis loses before it is told."""
_AT_ONCE = 500
"""Things that one command asks for."""


class RedisIndex:
    """See `Index`. What is done in one step is one script."""

    def __init__(self, client: Redis, now: Callable[[], float], max_memory: int = 0) -> None:
        """`max_memory` is the setting: bytes of Redis, 0 for what it says itself."""
        self.is_kept: Callable[[str], bool] = lambda call: True
        """Whether what a call has written is in the append-only file, for which it waits, or else was lost."""
        self._client = client
        self._now = now
        self._max_memory = max_memory
        self._filters = Semaphore(MOST_FILTERED)
        self._limit: tuple[float, int] | None = None
        """When Redis was asked for its memory, and how much of it there is."""

    @classmethod
    def open(cls, config: Config) -> RedisIndex:
        """That in a configuration's Redis."""
        return cls(connect(config.redis_url), time.time, config.max_memory)

    def add(self, things: Sequence[Thing], bounds: Bounds | None = None) -> bool:
        most = (*bounds, int(self._memory() * MOST_OF_MEMORY) or "") if bounds else ("",) * 4
        words = (word for thing in things for word in (thing.id, pack(thing)))
        answer, *rest = (self._call if things[0].kind in ANSWERS else self._write)("add", *most, *words)
        if answer == b"missing":
            raise NotStored(rest[0].decode())
        if answer == b"full":
            of_owner, size, total, of_all = map(int, rest)
            if of_owner or size:
                raise NoRoom(things[0].owner, of_owner, size)
            raise NoRoom(None, of_all, total)
        return bool(answer == b"added")

    def get(self, owner: str, kind: ThingKind, thing_id: str) -> Thing:
        with _translated():
            words: Any = self._client.hget(Key.ARCHIVE_THINGS, thing_id)
        thing = unpack(thing_id, words) if words else None
        if not thing or (thing.owner, thing.kind) != (owner, kind) or 0 < thing.expires <= self._now():
            raise NotStored(thing_id)
        return thing

    def change(self, old: Thing, facts: Mapping[str, Any], expires: int) -> Thing | None:
        found = self._write("change", old.id, old.owner, old.version, encode(facts), expires)
        return unpack(old.id, found[0]) if found else None

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
        place: Any = self._call("place", after, owner, kind, known_by="") if after else ""
        if place is None:
            raise NotStored(after)
        list_key = f"{Key.ARCHIVE_PARTS}{parent}" if parent else f"{Key.ARCHIVE_LIST}{kind}:{owner}"
        found, now, order = list[Thing](), self._now(), "desc" if descending else "asc"
        texts = [encode(value) for value in (where or {}).values()]  # what cannot match does not come here
        while len(found) <= limit:
            wanted = limit + 1 - len(found)
            with self._filters if where else nullcontext():
                place, *words = self._call("page", list_key, place, order, wanted, *texts, known_by="")
            for thing in unpack_all(words):
                listed = (thing.owner, thing.kind) == (owner, kind) and not 0 < thing.expires <= now
                if listed and thing.has(where or {}):
                    found.append(thing)
            if not place:
                break
        return Page(found[:limit], len(found) > limit)

    def owners(self, kind: ThingKind) -> list[str]:
        with _translated():
            found: Any = self._client.zrange(Key.ARCHIVE_OWNERS, 0, -1)
            names = sorted(name.decode() for name in found)
            fields = [f"things:{kind}:{name}" for name in names]
            counts: Any = self._client.hmget(Key.ARCHIVE_COUNTS, fields) if fields else []
        return [name for name, count in zip(names, counts, strict=True) if count]

    def count(self, parent: str) -> int:
        return int(self._call("parts", parent, known_by=""))

    def remove(self, owner: str, kind: ThingKind, thing_id: str) -> list[Thing]:
        gone = unpack_all(self._write("remove", thing_id, owner, kind))
        if not gone:
            raise NotStored(thing_id)
        return gone

    def expire(self, now: int, most: int) -> list[Thing]:
        return unpack_all(self._call("expire", now, most))

    def evict(self, owner: str | None, kinds: Sequence[ThingKind], *, things: int, size: int, most: int) -> list[Thing]:
        whose = "*" if owner is None else f":{owner}"
        return unpack_all(self._call("evict", whose, things, size, most, *kinds))

    def held(self, owner: str | None, kind: ThingKind | None = None) -> Held:
        whose = (kind or "*") + ("" if owner is None else f":{owner}")
        with _translated():
            counts: Any = self._client.hmget(Key.ARCHIVE_COUNTS, [f"things:{whose}", f"bytes:{whose}"])
        return Held(*(int(count or 0) for count in counts))

    def blobs(self, ids: Sequence[str]) -> set[str]:
        names = set[str]()
        for start in range(0, len(ids), _AT_ONCE):
            some = list(ids[start : start + _AT_ONCE])
            with _translated():
                found: Any = self._client.hmget(Key.ARCHIVE_THINGS, some)
            names |= {unpack(thing_id, words).blob for thing_id, words in zip(some, found, strict=True) if words}
        return names - {""}

    def identity(self) -> str:
        new = secrets.token_hex(16)
        with _translated():
            return _text(self._client.set(Key.ARCHIVE_IDENTITY, new, nx=True, get=True)) or new

    def take_turn(self, work: str, seconds: float) -> bool:
        own = secrets.token_hex(8)  # so that the command can come again
        with _translated():
            key, until = f"{Key.ARCHIVE_TURN}{work}", max(1, int(seconds * 1000))
            return _text(self._client.set(key, own, nx=True, px=until, get=True)) in ("", own)

    def walk(self) -> Iterator[Thing]:
        with _translated():
            for thing_id, words in self._client.hscan_iter(Key.ARCHIVE_THINGS, count=_AT_ONCE):
                yield unpack(thing_id.decode(), words)

    def audit(self) -> Iterator[Finding]:
        with _translated():
            yield from redis_audit.find(self._client)

    def close(self) -> None:
        self._client.close()

    def _call(self, name: str, *args: Any, known_by: str | None = None) -> Any:
        """What a script returns. It is known by a name of its own, and answered alike where redis-py sends it again."""
        known_by = secrets.token_hex(8) if known_by is None else known_by
        with _translated():
            return script(self._client, name)(keys=[], args=[known_by, *args])

    def _write(self, name: str, *args: Any) -> Any:
        """The same, once it is kept: what Redis loses meanwhile is written again."""
        known_by = secrets.token_hex(8)
        for _ in range(_TRIES):
            answer = self._call(name, *args, known_by=known_by)
            if not answer or answer[0] in (b"missing", b"full"):  # nothing is changed
                return answer
            with _translated():
                if self.is_kept(known_by):
                    return answer
        raise ArchiveUnavailable("Redis loses what is written to the archive's index.")

    def _memory(self) -> int:
        """Bytes that Redis may take; 0 where it does not tell."""
        now = time.monotonic()
        if self._limit is None or now - self._limit[0] > _ASKED:
            with _translated():
                try:
                    limit = limit_of(self._client.info("memory"), self._max_memory)
                except NoPermissionError:
                    limit = self._max_memory
            self._limit = now, limit
        return self._limit[1]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (StoreUnavailable, *Outage) as exc:
        raise ArchiveUnavailable(f"the archive's index in Redis: {exc}") from exc


def _text(answer: Any) -> str:
    return answer.decode() if answer else ""
