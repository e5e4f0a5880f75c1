"""The end of a batch: its two files of results, made of its ledger in pieces, each of them once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import chain
from typing import Any

from msgspec.structs import replace

from gateway import files
from gateway.archive.archive import Archive
from gateway.archive.thing import Thing, ThingKind
from gateway.batches.batch import Batch, BatchError, BatchStatus
from gateway.batches.ledger import BatchLedger
from gateway.slices import give_way
from shared.errors import ArchiveDamaged

PURPOSE, TYPE = "batch_output", "application/jsonl"
_TIMES = {
    BatchStatus.COMPLETED: "completed_at",
    BatchStatus.FAILED: "failed_at",
    BatchStatus.EXPIRED: "expired_at",
    BatchStatus.CANCELLED: "cancelled_at",
}


class Closing:
    """Of one batch. Whoever dies in between, the next one goes on: the first file that is stored stays.

    Raises ArchiveUnavailable, ArchiveFull, NotStored where the batch is gone, and ArchiveDamaged where an index in
    Redis has forgotten some of it: then it is to be begun anew.
    """

    def __init__(self, archive: Archive, thing: Thing, ledger: BatchLedger) -> None:
        self._archive = archive
        self._thing = thing
        self._ledger = ledger
        self._last = Batch.of(thing)
        """As it was left."""

    def file(self, rest: Iterable[bytes], errors: tuple[BatchError, ...]) -> None:
        """Make the files; `rest` is told in that of errors of lines that were not answered."""
        output = self._keep("output", self._ledger.texts(well=True))
        failures = self._keep("error", chain(self._ledger.texts(well=False), rest))
        told = {"output_file_id": output, "error_file_id": failures, "errors": errors, **self._ledger.counts}
        self.change(lambda batch: replace(batch, **told))

    def finish(self, status: BatchStatus, errors: Iterable[BatchError] = ()) -> None:
        """It has ended so."""
        self._ledger.remove()
        how: dict[str, Any] = {"status": status, _TIMES[status]: int(time.time()), "errors": tuple(errors)}
        self.change(lambda batch: replace(batch, **how))

    def change(self, how: Callable[[Batch], Batch]) -> Batch:
        """What the batch is from now on. One that has ended stays as it is."""
        thing = self._thing

        def facts(old: dict[str, Any]) -> dict[str, Any]:
            batch = Batch.of(replace(thing, facts=old))
            if batch.status.final:
                return old
            if _is_before(batch, self._last):
                raise ArchiveDamaged(f"The index has forgotten how far {thing.id} was.")
            return how(batch).facts

        self._last = Batch.of(self._archive.change(thing.owner, ThingKind.BATCH, thing.id, facts))
        return self._last

    def _keep(self, which: str, pieces: Iterator[bytes]) -> str:
        """The id of the file; empty where it would be."""
        first = next((piece for piece in pieces if piece), b"")
        if not first:
            return ""
        thing, batch = self._thing, Batch.of(self._thing)
        file_id = "file-" + sha256(f"{thing.id}/{which}".encode()).hexdigest()[:32]
        created = int(time.time())
        lasts = {"seconds": batch.output_expires_after} if batch.output_expires_after else None
        expires = files.expiry(created, "batch", lasts)

        def content() -> Iterator[bytes]:
            for piece in chain([first], pieces):
                yield piece
                give_way()

        def finish(draft: Thing) -> Thing:
            return files.described(draft, expires, f"{thing.id}_{which}.jsonl", PURPOSE, TYPE)

        self._archive.keep(Thing(file_id, ThingKind.FILE, thing.owner, created), content(), finish=finish)
        return file_id


def _is_before(batch: Batch, last: Batch) -> bool:
    """Whether it was that before it was the other."""
    if last.in_progress_at and not batch.in_progress_at:
        return True
    files = {last.output_file_id, last.error_file_id} - {"", batch.output_file_id, batch.error_file_id}
    return bool(files) or batch.completed + batch.failed < last.completed + last.failed
