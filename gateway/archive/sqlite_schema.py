"""The tables of the index in SQLite, and what a row is."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.json import encode

from gateway.archive.thing import Facts, Thing, ThingKind

ALL = "*"
"""Whose counts are those of all owners; no API key has this name."""
LONGEST_LABEL = 512
"""Characters of a fact that is found by its value, instead of by looking through all things of its kind."""

_MANY = 2_000
"""Things with one label, beyond which it is as good as any other to begin with."""

_COUNTED = """
    INSERT INTO counts SELECT value, {row}.kind, 0, 0 FROM json_each(json_array({row}.owner, '*'))
        WHERE true ON CONFLICT DO NOTHING;
    UPDATE counts SET things = things {sign} 1, size = size {sign} ({row}.size + length(CAST({row}.facts AS BLOB)))
        WHERE owner IN ({row}.owner, '*') AND kind = {row}.kind;
"""
_ADDED, _GONE = _COUNTED.format(row="new", sign="+"), _COUNTED.format(row="old", sign="-")

STEPS = (
    (
        """CREATE TABLE things (
            place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, owner TEXT NOT NULL,
            created INTEGER NOT NULL, expires INTEGER NOT NULL, facts TEXT NOT NULL, blob TEXT NOT NULL,
            size INTEGER NOT NULL, parent TEXT NOT NULL, version INTEGER NOT NULL
        )""",
        "CREATE INDEX listed ON things (owner, kind, parent, place)",
        "CREATE INDEX expiring ON things (expires) WHERE expires > 0",
        "CREATE INDEX parts ON things (parent) WHERE parent <> ''",
        "CREATE TABLE labels (mark INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (mark, place)) WITHOUT ROWID",
        """CREATE TABLE counts (
            owner TEXT NOT NULL, kind TEXT NOT NULL, things INTEGER NOT NULL, size INTEGER NOT NULL,
            PRIMARY KEY (owner, kind)
        ) WITHOUT ROWID""",
        f"CREATE TRIGGER added AFTER INSERT ON things BEGIN {_ADDED} END",
        f"CREATE TRIGGER gone AFTER DELETE ON things BEGIN {_GONE} END",
        f"CREATE TRIGGER changed AFTER UPDATE OF facts ON things BEGIN {_GONE} {_ADDED} END",
        """CREATE TABLE gone (
            number INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
            place INTEGER NOT NULL, time INTEGER NOT NULL, UNIQUE (owner, kind, id)
        )""",
        "CREATE INDEX last ON gone (owner, number)",
        "CREATE INDEX forgotten ON gone (time)",
        "CREATE TABLE turns (work TEXT PRIMARY KEY, next REAL NOT NULL)",
        "CREATE TABLE identity AS SELECT lower(hex(randomblob(16))) AS id",
    ),
)
"""From nothing to version 1; a later release adds what leads from there to its own."""


def row_of(thing: Thing) -> tuple[Any, ...]:
    """All but its place."""
    facts = encode(thing.facts).decode()
    head = (thing.id, thing.kind, thing.owner, thing.created, thing.expires, facts)
    return (*head, thing.blob, thing.size, thing.parent, thing.version)


def thing_of(row: Sequence[Any]) -> Thing:
    """What a whole row of `things` says."""
    _, identity, kind, owner, created, expires, facts, blob, size, parent, version = row
    facts = Facts.read(identity, facts)
    return Thing(identity, ThingKind(kind), owner, created, expires, facts, blob, size, parent, version)


def marks_of(thing: Thing) -> set[int]:
    """Of its labels. Parts have none: lists of them are as short as their whole."""
    if thing.parent:
        return set()
    return {mark_of(thing.owner, thing.kind, name, value) for name, value in _labels(thing.facts)}


def mark_of(owner: str, kind: ThingKind, name: str, value: str) -> int:
    """That things of this owner and kind have with a fact of that name and value; others only by a rare chance."""
    digest = hashlib.blake2b(encode((owner, kind, name, value)), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def frequency_of(db: sqlite3.Connection, mark: int) -> int:
    """How many things have a label; of many only that there are many."""
    query = "SELECT count(*) FROM (SELECT 1 FROM labels WHERE mark = ? LIMIT ?)"
    return int(db.execute(query, (mark, _MANY)).fetchone()[0])


def _labels(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values of the facts that are short texts, also one level deeper."""
    for name, fact in facts.items():
        deeper = fact.items() if isinstance(fact, Mapping) else ()
        for path, value in ((name, fact), *((f"{name}.{inner}", value) for inner, value in deeper)):
            if isinstance(value, str) and len(value) <= LONGEST_LABEL:
                yield path, value
