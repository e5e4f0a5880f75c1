"""The batches of an API key: how one begins, is found, listed and cancelled. Who feeds them reads the same facts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gateway import files, request_span
from gateway.archive.archive import DAY, Archive
from gateway.archive.thing import Page, Thing, ThingKind
from gateway.batches.batch import Batch, BatchStatus
from gateway.batches.open_batches import MOST_UNFINISHED, unfinished
from gateway.creations import Creation
from gateway.schemas.batches import window_seconds
from gateway.schemas.lists import Paging
from gateway.state import this_gateway
from shared.errors import InvalidRequest, KeyFull, NotStored

LARGEST_INPUT = 209_715_200
"""Bytes of a file of requests, as OpenAI's."""


def create(asked: Mapping[str, Any], creation: Creation) -> Thing:
    """Begin one. Raises InvalidRequest, NotStored, KeyFull, ArchiveFull, IdempotencyKeyReused."""
    archive, owner = this_gateway().archive, creation.owner

    def make(draft: Thing) -> Thing | None:
        due = draft.created + window_seconds(asked["completion_window"])
        _check_count(archive, owner)
        _take_file(archive, owner, asked["input_file_id"], due)
        batch = Batch(
            endpoint=asked["endpoint"],
            input_file_id=asked["input_file_id"],
            completion_window=asked["completion_window"],
            due=due,
            output_expires_after=asked.get("output_expires_after", {}).get("seconds", 0),
            metadata=asked["metadata"],
            traceparent=request_span.carried()[0],
            **creation.facts,
        )
        usual = archive.usual_expiry(draft.created)
        expires = max(usual, due + DAY) if usual else 0  # whoever asks for what has become of it finds it
        return archive.keep(replace(draft, expires=expires, facts=batch.facts))

    return creation.once(ThingKind.BATCH, "batch_", make)


def find(owner: str, batch_id: str) -> Thing:
    """Raises NotStored."""
    return this_gateway().archive.find(owner, ThingKind.BATCH, batch_id)


def page(owner: str, paging: Paging) -> Page:
    """A part of the list of them. Raises NotStored for an `after` that is not there."""
    return this_gateway().archive.page(owner, ThingKind.BATCH, **paging._asdict())


def cancel(owner: str, batch_id: str) -> Thing:
    """Have one end soon, with what it has. Raises NotStored, and InvalidRequest where it has ended otherwise."""
    return this_gateway().archive.change(owner, ThingKind.BATCH, batch_id, _cancelling)


def _cancelling(facts: dict[str, Any]) -> Mapping[str, Any]:
    status = facts["status"]
    if status in (BatchStatus.CANCELLING, BatchStatus.CANCELLED):
        return facts
    if status not in (BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS):
        raise InvalidRequest(f"The batch is {status}: there is nothing left to cancel.", param="batch_id")
    return {**facts, "status": str(BatchStatus.CANCELLING), "cancelling_at": int(time.time())}


def _check_count(archive: Archive, owner: str) -> None:
    """Those that are added at this moment are not counted. They harm nothing: only the first so many are fed."""
    if (count := len(unfinished(archive, owner))) >= MOST_UNFINISHED:
        raise KeyFull(f"Your API key has {count} batches that have not ended, of {MOST_UNFINISHED} that it may have.")


def _take_file(archive: Archive, owner: str, file_id: str, due: int) -> None:
    """Make sure of a batch's file as long as the batch may read it, unless it is deleted."""
    try:
        file = files.find(owner, file_id)
    except NotStored:
        raise NotStored(file_id, param="input_file_id") from None
    if file.facts["purpose"] != "batch":
        raise _refuse(f"its purpose is {file.facts['purpose']}, but that of a batch's file is batch")
    if file.size > LARGEST_INPUT:
        raise _refuse(f"it has {file.size} bytes, of {LARGEST_INPUT} that a batch's file may have")
    if file.expires and file.expires < due:
        archive.index.change(file, file.facts, due)  # whoever changes it at the same time is such a batch, too


def _refuse(problem: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid 'input_file_id': {problem}.", param="input_file_id")
