"""The batches that have not ended, as the archive knows them."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.archive.archive import Archive
from gateway.batches.batch import Batch
from gateway.batches.open_batches import OpenBatches
from shared.errors import ArchiveDamaged, ArchiveUnavailable


@dataclass(frozen=True, slots=True)
class UnfinishedBatch:
    """One of them."""

    id: str
    key: str
    """The API key's name; empty where there are no keys."""
    status: str
    endpoint: str
    model: str
    created: int
    due: int
    """Unix time in seconds at which it expires."""
    requests: int
    completed: int
    failed: int


def look(archive: Archive) -> list[UnfinishedBatch]:
    """The oldest first; none where the archive is out of reach, for it may be another machine's."""
    try:
        things = OpenBatches(archive).find()
    except (ArchiveUnavailable, ArchiveDamaged):
        return []
    found = [(thing, Batch.of(thing)) for thing in sorted(things, key=lambda thing: thing.created)]
    return [
        UnfinishedBatch(
            thing.id,
            thing.owner,
            str(batch.status),
            batch.endpoint,
            batch.model,
            thing.created,
            batch.due,
            batch.total,
            batch.completed,
            batch.failed,
        )
        for thing, batch in found
    ]
