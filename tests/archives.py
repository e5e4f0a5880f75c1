"""Archives in a folder, as tests look into them."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from gateway.archive.archive import Archive
from gateway.archive.audit import audit_archive
from gateway.archive.folder_blobs import FolderBlobs
from gateway.archive.thing import Thing, ThingKind
from shared.config import Config


def answer(number: int, owner: str = "o", **facts: Any) -> Thing:
    return Thing(f"resp_{number:032x}", ThingKind.RESPONSE, owner, 1, facts=facts)


def blobs(archive: Archive) -> Path:
    """Where they are."""
    assert isinstance(archive.blobs, FolderBlobs)
    return archive.blobs.folder


def stored(archive: Archive) -> set[str]:
    """The names of all files there."""
    return {name for name, _, _ in archive.blobs.walk()}


def age(archive: Archive, seconds: float, now: float | None = None) -> None:
    """As if all blobs had been written so long ago."""
    written = (time.time() if now is None else now) - seconds
    for name in stored(archive):
        os.utime(blobs(archive) / name, (written, written))


def problems(archive: Archive) -> list[str]:
    """What an audit finds, that of contents too."""
    return [f"{finding.subject}: {finding.problem}" for finding in audit_archive(archive, contents=True).findings]


def connection(archive: Archive) -> sqlite3.Connection:
    """One more to the file of its index."""
    return sqlite3.connect(blobs(archive).parent / "index.db", isolation_level=None)


def bounded(tmp_path: Path, **bounds: Any) -> Archive:
    return Archive.open(Config(archive=str(tmp_path / "a"), **bounds))


def file(number: int, owner: str = "o") -> Thing:
    return Thing(f"file-{number:032x}", ThingKind.FILE, owner, 1)


def ids(archive: Archive, owner: str = "o") -> list[str]:
    return [thing.id for thing in archive.page(owner, ThingKind.RESPONSE, limit=100).things]
