"""The index as a file of SQLite, where all gateway processes are on one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gevent.threadpool import ThreadPool
from msgspec.json import decode, encode

from gateway.archive.thing import Held, Page, Thing, ThingKind
from shared.errors import ArchiveUnavailable, NotStored

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS things (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, owner TEXT NOT NULL,
    created INTEGER NOT NULL, expires INTEGER NOT NULL, facts TEXT NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL,
    parent TEXT NOT NULL, version INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS listed ON things (owner, kind, parent, place);
CREATE INDEX IF NOT EXISTS expiring ON things (expires) WHERE expires > 0;
CREATE INDEX IF NOT EXISTS parts ON things (parent) WHERE parent <> '';
"""
_BUSY = 30.0
"""Seconds to wait for another process that writes."""


class SqliteIndex:
    """See `Index`. One thread a process has the one connection."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._path = path
        self._now = now
        self._thread = ThreadPool(1)
        self._connection: sqlite3.Connection | None = None

    def add(self, things: Sequence[Thing]) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            if db.execute("SELECT 1 FROM things WHERE id = ?", (things[0].id,)).fetchone():
                return False
            for thing in things:
                if (
                    thing.parent
                    and not db.execute(
                        "SELECT 1 FROM things WHERE id = ? AND owner = ?", (thing.parent, thing.owner)
                    ).fetchone()
                ):
                    raise NotStored(thing.parent)
                db.execute("INSERT INTO things VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _row(thing))
            return True

        return self._do(work)

    def get(self, owner: str, kind: ThingKind, thing_id: str) -> Thing:
        return self._do(lambda db: self._find(db, owner, kind, thing_id)[1])

    def change(self, old: Thing, facts: Mapping[str, Any], expires: int) -> Thing | None:
        def work(db: sqlite3.Connection) -> Thing | None:
            changed = db.execute(
                "UPDATE things SET facts = ?, expires = ?, version = version + 1 WHERE id = ? AND version = ?",
                (encode(facts).decode(), expires, old.id, old.version),
            )
            if not changed.rowcount:
                return None
            return _thing(db.execute("SELECT * FROM things WHERE id = ?", (old.id,)).fetchone())

        return self._do(work)

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
        def work(db: sqlite3.Connection) -> Page:
            query = "SELECT * FROM things WHERE owner = ? AND kind = ? AND parent = ?"
            query += " AND (expires = 0 OR expires > ?)"
            values: list[Any] = [owner, kind, parent, self._now()]
            if after:
                query += " AND place < ?" if descending else " AND place > ?"
                values.append(self._find(db, owner, kind, after)[0])
            for name, value in (where or {}).items():
                query += " AND json_extract(facts, ?) = ?"
                values += ["$." + ".".join(encode(part).decode() for part in name.split(".", 1)), value]
            query += " ORDER BY place DESC LIMIT ?" if descending else " ORDER BY place LIMIT ?"
            rows = db.execute(query, [*values, limit + 1]).fetchall()
            return Page([_thing(row) for row in rows[:limit]], len(rows) > limit)

        return self._do(work)

    def count(self, parent: str) -> int:
        query = "SELECT count(*) FROM things WHERE parent = ?"
        return self._do(lambda db: int(db.execute(query, (parent,)).fetchone()[0]))

    def remove(self, owner: str, kind: ThingKind, thing_id: str) -> list[Thing]:
        def work(db: sqlite3.Connection) -> list[Thing]:
            _, thing = self._find(db, owner, kind, thing_id, expired=True)
            parts = db.execute("DELETE FROM things WHERE parent = ? RETURNING *", (thing_id,)).fetchall()
            db.execute("DELETE FROM things WHERE id = ?", (thing_id,))
            return [*map(_thing, parts), thing]

        return self._do(work)

    def expired(self, now: int, most: int) -> list[Thing]:
        query = "SELECT * FROM things WHERE expires > 0 AND expires <= ? ORDER BY expires LIMIT ?"
        return self._do(lambda db: [_thing(row) for row in db.execute(query, (now, most))])

    def oldest(self, owner: str, kinds: Sequence[ThingKind], most: int) -> list[Thing]:
        query = (
            "SELECT * FROM things WHERE owner = ? AND kind IN (SELECT value FROM json_each(?)) ORDER BY place LIMIT ?"
        )
        return self._do(lambda db: [_thing(row) for row in db.execute(query, (owner, encode(kinds), most))])

    def held(self, owner: str | None) -> Held:
        query, values = "SELECT count(*), coalesce(sum(size), 0) FROM things", list[str]()
        if owner is not None:
            query, values = query + " WHERE owner = ?", [owner]
        return self._do(lambda db: Held(*db.execute(query, values).fetchone()))

    def walk(self) -> Iterator[Thing]:
        place = 0
        while True:
            rows = self._do(partial(_after, place))
            if not rows:
                return
            yield from map(_thing, rows)
            place = rows[-1][0]

    def close(self) -> None:
        if self._connection is not None:
            self._do(lambda db: db.close())
            self._connection = None

    def _find(
        self, db: sqlite3.Connection, owner: str, kind: ThingKind, thing_id: str, *, expired: bool = False
    ) -> tuple[int, Thing]:
        query = "SELECT * FROM things WHERE id = ? AND owner = ? AND kind = ?"
        row = db.execute(query, (thing_id, owner, kind)).fetchone()
        if row is None or (not expired and 0 < row[5] <= self._now()):
            raise NotStored(thing_id)
        return row[0], _thing(row)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """In one transaction."""

        def run() -> T:
            db = self._open()
            with db:
                return work(db)

        try:
            found: T = self._thread.apply(run)
        except sqlite3.Error as exc:
            raise ArchiveUnavailable(f"{self._path.name}: {exc}") from exc
        return found

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            db = sqlite3.connect(self._path, timeout=_BUSY, check_same_thread=False)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            with closing(db.cursor()) as cursor:
                cursor.executescript(_SCHEMA)
            self._connection = db
        return self._connection


def _after(place: int, db: sqlite3.Connection) -> list[Any]:
    query = "SELECT * FROM things WHERE place > ? ORDER BY place LIMIT 500"
    return db.execute(query, (place,)).fetchall()


def _row(thing: Thing) -> tuple[Any, ...]:
    facts = encode(thing.facts).decode()
    head = (thing.id, thing.kind, thing.owner, thing.created, thing.expires, facts)
    return (*head, thing.blob, thing.size, thing.parent, thing.version)


def _thing(row: Sequence[Any]) -> Thing:
    _, identity, kind, owner, created, expires, facts, blob, size, parent, version = row
    return Thing(identity, ThingKind(kind), owner, created, expires, decode(facts), blob, size, parent, version)
