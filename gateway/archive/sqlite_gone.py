"""Where things stood in the lists of an index in SQLite that are there no more: see `Index.page`."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from gateway.archive import index
from gateway.archive.thing import Thing, ThingKind


def remember(db: sqlite3.Connection, gone: Collection[tuple[int, Thing]], now: float) -> None:
    """Things that went by themselves, not as parts of others, each with its place; of what there is too much goes."""
    db.executemany(
        "REPLACE INTO gone (owner, kind, id, place, time) VALUES (?, ?, ?, ?, ?)",
        [(thing.owner, thing.kind, thing.id, place, int(now)) for place, thing in gone],
    )
    crowd = "SELECT number FROM gone WHERE owner = ? ORDER BY number DESC LIMIT 1 OFFSET ?"
    for owner in {thing.owner for _, thing in gone}:
        if found := db.execute(crowd, (owner, index.MOST_REMEMBERED)).fetchone():
            db.execute("DELETE FROM gone WHERE owner = ? AND number <= ?", (owner, found[0]))
    db.execute("DELETE FROM gone WHERE time < ?", (int(now) - index.REMEMBERED,))
    db.execute("DELETE FROM gone WHERE number <= (SELECT max(number) FROM gone) - ?", (index.MOST_REMEMBERED_OF_ALL,))


def place_of(db: sqlite3.Connection, owner: str, kind: ThingKind, thing_id: str) -> int | None:
    """Of a thing that is there, has expired, or went lately."""
    for table in ("things", "gone"):
        query = f"SELECT place FROM {table} WHERE id = ? AND owner = ? AND kind = ?"  # noqa: S608  # our words
        if found := db.execute(query, (thing_id, owner, kind)).fetchone():
            return int(found[0])
    return None
