"""What is written down of a batch holds, whoever else feeds it, and whatever an index in Redis forgets."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.archive.archive import Archive
from gateway.archive.thing import Thing, ThingKind
from gateway.batches.batch import Batch, BatchStatus
from gateway.batches.closing import Closing
from gateway.batches.ending import LineEnd
from gateway.batches.ledger import BatchLedger
from shared.config import Config
from shared.errors import ArchiveDamaged, NotStored


class Desk:
    """Where a process feeds a batch of two lines."""

    def __init__(self, archive: Archive, thing: Thing) -> None:
        self.ledger = BatchLedger(archive, thing)
        self.ledger.open()
        self.closing = Closing(archive, thing, self.ledger)

    def tell(self, line: int) -> Batch:
        self.ledger.add([LineEnd(line, True, b"%d\n" % line)])
        return self.closing.change(lambda found: replace(found, **self.ledger.counts))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.open(Config(archive=str(tmp_path)))


@pytest.fixture
def batch(archive: Archive) -> Thing:
    now = int(time.time())
    state: dict[str, Any] = {"status": BatchStatus.IN_PROGRESS, "in_progress_at": now, "output_expires_after": 3600}
    begun = Batch("/v1/completions", "file-1", "24h", now + 60, total=2, **state)
    kept = archive.keep(Thing("batch_1", ThingKind.BATCH, "", now, 0, begun.facts))
    assert kept
    return kept


def test_who_was_frozen_writes_nothing_when_another_has_ended_the_batch(archive: Archive, batch: Thing) -> None:
    one, late = Desk(archive, batch), Desk(archive, batch)
    one.tell(1)
    one.closing.finish(BatchStatus.COMPLETED)
    with pytest.raises(NotStored):
        late.tell(2)
    assert late.closing.change(lambda found: replace(found, completed=9)).completed == 1
    late.closing.finish(BatchStatus.EXPIRED)
    assert Batch.of(archive.find("", ThingKind.BATCH, batch.id)).status is BatchStatus.COMPLETED
    assert not archive.index.owners(ThingKind.OUTCOMES)


def test_no_file_is_made_where_a_part_of_the_ledger_is_forgotten(archive: Archive, batch: Thing) -> None:
    desk = Desk(archive, batch)
    desk.tell(1)
    desk.tell(2)
    archive.remove("", ThingKind.OUTCOMES, f"outcomes_{batch.id}_1")
    with pytest.raises(ArchiveDamaged):
        desk.closing.file((), ())
    assert not archive.index.owners(ThingKind.FILE)
    desk.ledger.load()
    assert desk.ledger.told == {1}


def test_who_knows_more_than_the_index_does_is_told_so(archive: Archive, batch: Thing) -> None:
    """Before he lets go of the records of what he has told, also where others have gone on meanwhile."""
    desk = Desk(archive, batch)
    desk.ledger.check()
    desk.tell(1)
    desk.ledger.check()
    archive.remove("", ThingKind.OUTCOMES, f"outcomes_{batch.id}_0")
    with pytest.raises(ArchiveDamaged):
        desk.ledger.check()
    Desk(archive, batch).ledger.add([LineEnd(2, True, b"2\n")])
    with pytest.raises(ArchiveDamaged):
        desk.ledger.check()


def test_what_lies_no_more_where_the_index_says_is_not_told_any_more(archive: Archive, batch: Thing) -> None:
    desk = Desk(archive, batch)
    desk.tell(1)
    archive.blobs.remove(archive.find("", ThingKind.OUTCOMES, f"outcomes_{batch.id}_0").blob)
    with pytest.raises(ArchiveDamaged):
        desk.closing.file((), ())
    desk.ledger.load()
    assert not desk.ledger.told


@pytest.mark.parametrize("forgotten", [{"in_progress_at": 0}, {"completed": 0}, {"output_file_id": ""}])
def test_no_batch_ends_of_which_the_index_has_forgotten_how_far_it_was(
    archive: Archive, batch: Thing, forgotten: dict[str, object]
) -> None:
    desk = Desk(archive, batch)
    desk.tell(1)
    desk.tell(2)
    desk.closing.file((), ())
    archive.change("", ThingKind.BATCH, batch.id, lambda facts: {**facts, **forgotten})
    with pytest.raises(ArchiveDamaged):
        desk.closing.finish(BatchStatus.COMPLETED)
    assert not Batch.of(archive.find("", ThingKind.BATCH, batch.id)).status.final
