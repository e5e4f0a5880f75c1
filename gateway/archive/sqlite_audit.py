"""What is wrong within the file of an index."""

from __future__ import annotations

import sqlite3
from collections import Counter

from gateway.archive.sqlite_schema import ALL
from shared.audit import Finding

_MOST = 100
"""Findings of each sort."""


def find(db: sqlite3.Connection) -> list[Finding]:
    """See `Index.audit`."""
    whole = [row[0] for row in db.execute(f"PRAGMA quick_check({_MOST})") if row[0] != "ok"]
    if whole:
        return [Finding("index.db", problem) for problem in whole]
    return [*_miscounted(db), *_lost_parts(db), *_mislabelled(db)]


def _miscounted(db: sqlite3.Connection) -> list[Finding]:
    there = Counter[tuple[str, str, str]]()
    query = "SELECT owner, kind, count(*), sum(size + length(CAST(facts AS BLOB))) FROM things GROUP BY owner, kind"
    for owner, kind, things, size in db.execute(query):
        for whose in (owner, ALL):
            there.update({(whose, kind, "things"): things, (whose, kind, "bytes"): size})
    counted = Counter[tuple[str, str, str]]()
    for owner, kind, things, size in db.execute("SELECT owner, kind, things, size FROM counts"):
        counted.update({(owner, kind, "things"): things, (owner, kind, "bytes"): size})
    return [
        Finding(
            "index.db", f"{counted[what]} {what[2]} of kind {what[1]} are counted for {_name(what[0])}: {there[what]}"
        )
        for what in sorted(there.keys() | counted.keys())
        if there[what] != counted[what]
    ][:_MOST]


def _name(owner: str) -> str:
    return "all" if owner == ALL else owner or "everybody"


def _lost_parts(db: sqlite3.Connection) -> list[Finding]:
    query = (
        "SELECT id, parent FROM things part WHERE parent <> '' AND NOT EXISTS"
        " (SELECT 1 FROM things WHERE id = part.parent AND owner = part.owner) LIMIT ?"
    )
    return [Finding(part, f"is a part of {whole}, which is not there") for part, whole in db.execute(query, (_MOST,))]


def _mislabelled(db: sqlite3.Connection) -> list[Finding]:
    query = "SELECT count(*) FROM labels WHERE NOT EXISTS (SELECT 1 FROM things WHERE place = labels.place)"
    lost = db.execute(query).fetchone()[0]
    return [Finding("index.db", f"{lost} labels are of things that are not there")] if lost else []
