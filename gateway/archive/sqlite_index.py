"""The index as a file of SQLite, where all gateway processes are on one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec.json import encode

from gateway.archive.index import Bounds, NoRoom
from gateway.archive.sqlite_audit import find
from gateway.archive.sqlite_file import SqliteFile
from gateway.archive.sqlite_gone import place_of, remember
from gateway.archive.sqlite_schema import ALL, LONGEST_LABEL, STEPS, frequency_of, mark_of, marks_of, row_of, thing_of
from gateway.archive.thing import Held, Page, Thing, ThingKind
from shared.audit import Finding
from shared.errors import NotStored

_WALKED = 500
"""Things that a walk reads at once."""


class SqliteIndex:
    """See `Index`."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._file = SqliteFile(path, STEPS)
        self._now = now

    def add(self, things: Sequence[Thing], bounds: Bounds | None = None) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            if _has(db, things[0].id):
                return False
            for thing in things:
                if not _has(db, thing.id):
                    _insert(db, thing)
            if bounds:
                _keep_within(db, things[0].owner, bounds)
            return True

        return self._file.write(work)

    def get(self, owner: str, kind: ThingKind, thing_id: str) -> Thing:
        return self._file.read(lambda db: self._find(db, owner, kind, thing_id)[1])

    def change(self, old: Thing, facts: Mapping[str, Any], expires: int) -> Thing | None:
        def work(db: sqlite3.Connection) -> Thing | None:
            changed = db.execute(
                "UPDATE things SET facts = ?, expires = ?, version = version + 1"
                " WHERE id = ? AND owner = ? AND version = ? RETURNING *",
                (encode(facts).decode(), expires, old.id, old.owner, old.version),
            ).fetchall()
            if not changed:
                return None
            _unlabel(db, changed[0][0], old)
            _label(db, changed[0][0], new := thing_of(changed[0]))
            return new

        return self._file.write(work)

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
            conditions = ["things.owner = ?", "kind = ?", "parent = ?", "(expires = 0 OR expires > ?)"]
            values: list[Any] = [owner, kind, parent, self._now()]
            source, place, labels = "things", "things.place", list[int]()
            for name, value in (where or {}).items():
                if not parent and len(value) <= LONGEST_LABEL:
                    labels.append(mark_of(owner, kind, name, value))
            if labels:
                labels.sort(key=lambda mark: frequency_of(db, mark))  # the rarest leads
                source, place = "labels CROSS JOIN things ON things.place = labels.place", "labels.place"
                conditions.append("labels.mark = ?")
                conditions += ["EXISTS (SELECT 1 FROM labels l WHERE l.mark = ? AND l.place = things.place)"] * (
                    len(labels) - 1
                )
                values += labels
            if after:
                conditions.append(f"{place} {'<' if descending else '>'} ?")
                if (begin := place_of(db, owner, kind, after)) is None:
                    raise NotStored(after)
                values.append(begin)
            order = f"ORDER BY {place} {'DESC' if descending else 'ASC'}"
            query = f"SELECT things.* FROM {source} WHERE {' AND '.join(conditions)} {order}"  # noqa: S608  # our words
            with closing(db.execute(query, values)) as rows:
                found = list(islice((thing for thing in map(thing_of, rows) if thing.has(where or {})), limit + 1))
            return Page(found[:limit], len(found) > limit)

        return self._file.read(work)

    def owners(self, kind: ThingKind) -> list[str]:
        query = "SELECT owner FROM counts WHERE kind = ? AND owner <> ? AND things > 0"
        return self._file.read(lambda db: sorted(owner for (owner,) in db.execute(query, (kind, ALL))))

    def count(self, parent: str) -> int:
        query = "SELECT count(*) FROM things WHERE parent = ?"
        return self._file.read(lambda db: int(db.execute(query, (parent,)).fetchone()[0]))

    def remove(self, owner: str, kind: ThingKind, thing_id: str) -> list[Thing]:
        def work(db: sqlite3.Connection) -> list[Thing]:
            return self._delete(db, [self._find(db, owner, kind, thing_id, expired=True)])

        return self._file.write(work)

    def expire(self, now: int, most: int) -> list[Thing]:
        query = "SELECT * FROM things WHERE expires > 0 AND expires <= ? ORDER BY expires LIMIT ?"
        if not self._file.read(lambda db: db.execute(query, (now, 1)).fetchone()):
            return []  # as a rule, and then nothing is written

        def work(db: sqlite3.Connection) -> list[Thing]:
            return self._delete(db, [(row[0], thing_of(row)) for row in db.execute(query, (now, most)).fetchall()])

        return self._file.write(work)

    def evict(self, owner: str | None, kinds: Sequence[ThingKind], *, things: int, size: int, most: int) -> list[Thing]:
        query = "SELECT * FROM things WHERE owner = ? AND kind = ? AND parent = '' ORDER BY place LIMIT ?"

        def work(db: sqlite3.Connection) -> list[Thing]:
            whose = _largest(db, kinds) if owner is None else owner
            rows = sorted(row for kind in kinds for row in db.execute(query, (whose, kind, most)))
            first, freed = list[tuple[int, Thing]](), 0
            while len(first) < min(len(rows), most) and (not first or len(first) < things or freed < size):
                row = rows[len(first)]
                first.append((row[0], thing_of(row)))
                freed += first[-1][1].weight
            return self._delete(db, first)

        return self._file.write(work)

    def held(self, owner: str | None, kind: ThingKind | None = None) -> Held:
        return self._file.read(lambda db: _held(db, ALL if owner is None else owner, kind))

    def blobs(self, ids: Sequence[str]) -> set[str]:
        query = "SELECT blob FROM things WHERE id IN (SELECT value FROM json_each(?)) AND blob <> ''"
        return self._file.read(lambda db: {blob for (blob,) in db.execute(query, (encode(ids).decode(),))})

    def identity(self) -> str:
        return str(self._file.read(lambda db: db.execute("SELECT id FROM identity").fetchone()[0]))

    def take_turn(self, work: str, seconds: float) -> bool:
        now = self._now()
        query = "SELECT 1 FROM turns WHERE work = ? AND next BETWEEN ? AND ?"
        if self._file.read(lambda db: db.execute(query, (work, now, now + seconds)).fetchone()):
            return False  # as a rule, and then nothing is written

        def take(db: sqlite3.Connection) -> bool:
            if db.execute(query, (work, now, now + seconds)).fetchone():
                return False
            db.execute("REPLACE INTO turns VALUES (?, ?)", (work, now + seconds))
            return True

        return self._file.write(take)

    def walk(self) -> Iterator[Thing]:
        place = 0
        while rows := self._file.read(partial(_after, place)):
            yield from map(thing_of, rows)
            place = rows[-1][0]

    def audit(self) -> Iterator[Finding]:
        yield from self._file.read(find)

    def close(self) -> None:
        self._file.close()

    def _find(
        self, db: sqlite3.Connection, owner: str, kind: ThingKind, thing_id: str, *, expired: bool = False
    ) -> tuple[int, Thing]:
        query = "SELECT * FROM things WHERE id = ? AND owner = ? AND kind = ?"
        row = db.execute(query, (thing_id, owner, kind)).fetchone()
        if row is None or (not expired and 0 < row[5] <= self._now()):
            raise NotStored(thing_id)
        return row[0], thing_of(row)

    def _delete(self, db: sqlite3.Connection, wholes: Sequence[tuple[int, Thing]]) -> list[Thing]:
        gone: dict[str, Thing] = {}
        remember(db, wholes, self._now())
        for place, thing in wholes:  # a part may have gone with its whole
            gone.update((each.id, each) for each in _delete(db, place, thing))
        return list(gone.values())


def _has(db: sqlite3.Connection, thing_id: str) -> bool:
    return db.execute("SELECT 1 FROM things WHERE id = ?", (thing_id,)).fetchone() is not None


def _insert(db: sqlite3.Connection, thing: Thing) -> None:
    query = "SELECT 1 FROM things WHERE id = ? AND owner = ?"
    if thing.parent and not db.execute(query, (thing.parent, thing.owner)).fetchone():
        raise NotStored(thing.parent)
    place = db.execute("INSERT INTO things VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row_of(thing)).lastrowid
    assert place is not None
    _label(db, place, thing)


def _label(db: sqlite3.Connection, place: int, thing: Thing) -> None:
    db.executemany("INSERT INTO labels VALUES (?, ?)", [(mark, place) for mark in marks_of(thing)])


def _unlabel(db: sqlite3.Connection, place: int, thing: Thing) -> None:
    db.executemany("DELETE FROM labels WHERE mark = ? AND place = ?", [(mark, place) for mark in marks_of(thing)])


def _delete(db: sqlite3.Connection, place: int, thing: Thing) -> list[Thing]:
    parts = db.execute("DELETE FROM things WHERE parent = ? RETURNING *", (thing.id,)).fetchall()
    db.execute("DELETE FROM things WHERE place = ?", (place,))
    _unlabel(db, place, thing)
    return [*map(thing_of, parts), thing]


def _held(db: sqlite3.Connection, owner: str, kind: ThingKind | None) -> Held:
    query = "SELECT coalesce(sum(things), 0), coalesce(sum(size), 0) FROM counts WHERE owner = ?"
    query, values = (query, [owner]) if kind is None else (query + " AND kind = ?", [owner, kind])
    return Held(*db.execute(query, values).fetchone())


def _keep_within(db: sqlite3.Connection, owner: str, bounds: Bounds) -> None:
    mine, total = _held(db, owner, None), _held(db, ALL, None).size
    if mine.things > bounds.things or mine.size > bounds.size:
        raise NoRoom(owner, max(0, mine.things - bounds.things), max(0, mine.size - bounds.size))
    if total > bounds.total:
        raise NoRoom(None, 0, total - bounds.total)


def _largest(db: sqlite3.Connection, kinds: Sequence[ThingKind]) -> str:
    """Who holds the most bytes of all who have any of these kinds."""
    query = (
        "SELECT owner FROM counts WHERE owner <> ? GROUP BY owner HAVING"
        " sum(things * (kind IN (SELECT value FROM json_each(?)))) > 0 ORDER BY sum(size) DESC LIMIT 1"
    )
    found = db.execute(query, (ALL, encode(kinds).decode())).fetchone()
    return str(found[0]) if found else ALL


def _after(place: int, db: sqlite3.Connection) -> list[Any]:
    return db.execute("SELECT * FROM things WHERE place > ? ORDER BY place LIMIT ?", (place, _WALKED)).fetchall()
