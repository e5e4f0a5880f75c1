"""Files that come in parts. What an upload's facts say decides, so whatever dies, it can be completed again.

A file made of parts has an id that is made of theirs: two who complete an upload with its parts in different orders
make different files, and the one that the upload names in the end is the only one that was told.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import md5, sha256
from typing import Any

from msgspec.structs import replace

from gateway import files
from gateway.archive.thing import Thing, ThingKind
from gateway.creations import Creation
from gateway.forms import FileForm
from gateway.state import this_gateway
from shared.errors import InvalidRequest, NotStored

LARGEST_PART = 67_108_864
"""Bytes of a part of an upload."""
LONGEST_UPLOAD = 3600
"""Seconds from an upload's beginning to its completion."""
PENDING, COMPLETED, CANCELLED = "pending", "completed", "cancelled"


def create(asked: Mapping[str, Any], creation: Creation) -> Thing:
    """Begin one. Raises ArchiveFull where there is no room for it as it looks now, and IdempotencyKeyReused."""
    archive = this_gateway().archive

    def make(draft: Thing) -> Thing | None:
        archive.check_room(draft.owner, asked["bytes"])
        facts = {**draft.facts, **asked, "status": PENDING, "file": ""}
        return archive.keep(replace(draft, expires=draft.created + LONGEST_UPLOAD, facts=facts))

    return creation.once(ThingKind.UPLOAD, "upload_", make)


def find(owner: str, upload_id: str) -> Thing:
    """Raises NotStored, also for one whose time is over."""
    return this_gateway().archive.find(owner, ThingKind.UPLOAD, upload_id)


def file_of(upload: Thing) -> Thing | None:
    """The file that was made of an upload, if one was, and is there."""
    try:
        return files.find(upload.owner, upload.facts["file"]) if upload.facts["file"] else None
    except NotStored:
        return None


def add_part(upload: Thing, form: FileForm, creation: Creation) -> Thing:
    """Store a part. Raises InvalidRequest where the upload has ended, IdempotencyKeyReused, and what
    `FileForm.content` and `Archive.keep` do."""
    archive, owner = this_gateway().archive, upload.owner
    _check_pending(upload)
    archive.check_room(owner, form.least)

    def content() -> Iterator[bytes]:
        size = 0
        for piece in form.content():
            size += len(piece)
            yield piece
        if not size:
            raise InvalidRequest("Invalid 'data': it is empty.", param="data")
        _check_pending(find(owner, upload.id))

    def finish(part: Thing) -> Thing:
        return creation.know(part, form.mark)

    def make(draft: Thing) -> Thing | None:
        part = replace(draft, expires=upload.expires, parent=upload.id)
        return archive.keep(part, content(), finish=finish)

    return creation.once(ThingKind.PART, "part_", make)


def cancel(owner: str, upload_id: str) -> Thing:
    """End one; its parts go. Raises NotStored, and InvalidRequest where it is completed."""
    ended = this_gateway().archive.change(owner, ThingKind.UPLOAD, upload_id, _cancelled)
    _drop_parts(ended)
    return ended


def complete(owner: str, upload_id: str, asked: Mapping[str, Any]) -> tuple[Thing, Thing | None]:
    """Make the file of an upload's parts: the upload, and its file. Once it is completed that is all that is told.

    Raises NotStored, InvalidRequest, ArchiveFull.
    """
    upload = find(owner, upload_id)
    if upload.facts["status"] != COMPLETED:
        _check_pending(upload)
        try:
            upload = _name(upload, _make_file(upload, asked["part_ids"], asked.get("md5", "").lower()))
        except NotStored:
            upload = find(owner, upload_id)
            if upload.facts["status"] != COMPLETED:  # else somebody was faster, and the parts went
                _check_pending(upload)  # as they did where it was cancelled
                raise
    elif file_of(upload) is None:  # an index in Redis that was put back may have it so, and then there still are parts
        with suppress(NotStored):
            _make_file(upload, asked["part_ids"], asked.get("md5", "").lower())
    _drop_parts(upload)
    return upload, file_of(upload)


def _name(upload: Thing, file: Thing) -> Thing:
    """The upload, completed with this file or with another. Raises InvalidRequest where it was cancelled."""
    try:
        upload = this_gateway().archive.change(upload.owner, ThingKind.UPLOAD, upload.id, partial(_completed, file.id))
    except InvalidRequest:
        _drop(file)
        raise
    if upload.facts["file"] != file.id:
        _drop(file)
    return upload


def _make_file(upload: Thing, part_ids: Sequence[str], checksum: str) -> Thing:
    """The file of these parts, also where it was made before."""
    archive, owner, facts = this_gateway().archive, upload.owner, upload.facts
    identity = "file-" + sha256("/".join((upload.id, *part_ids)).encode()).hexdigest()[:32]
    try:
        return files.find(owner, identity)  # whoever made it died, or did not wait
    except NotStored:
        pass
    parts = [_find_part(upload, number, part_id) for number, part_id in enumerate(part_ids)]
    if (size := sum(part.size for part in parts)) != facts["bytes"]:
        message = f"Invalid 'part_ids': the parts have {size} bytes, but the upload was to have {facts['bytes']}."
        raise InvalidRequest(message, param="part_ids")

    def content() -> Iterator[bytes]:
        found = md5(usedforsecurity=False)
        for part in parts:
            for piece in archive.read(part):
                found.update(piece)
                yield piece
        if checksum and found.hexdigest() != checksum:
            message = f"Invalid 'md5': that of the parts, in this order, is {found.hexdigest()}."
            raise InvalidRequest(message, param="md5")

    def finish(thing: Thing) -> Thing:
        expires = files.expiry(thing.created, facts["purpose"], facts.get("expires_after"))
        return files.described(thing, expires, facts["filename"], facts["purpose"], facts["mime_type"])

    draft = Thing(identity, ThingKind.FILE, owner, int(time.time()))
    return archive.keep(draft, content(), finish=finish) or files.find(owner, identity)


def _find_part(upload: Thing, number: int, part_id: str) -> Thing:
    try:
        part = this_gateway().archive.find(upload.owner, ThingKind.PART, part_id)
    except NotStored as exc:
        raise NotStored(part_id, param=f"part_ids[{number}]") from exc
    if part.parent != upload.id:
        raise NotStored(part_id, param=f"part_ids[{number}]")
    return part


def _completed(file_id: str, facts: dict[str, Any]) -> Mapping[str, Any]:
    if facts["status"] == CANCELLED:
        raise _ended(facts)
    return facts if facts["status"] == COMPLETED else {**facts, "status": COMPLETED, "file": file_id}


def _cancelled(facts: dict[str, Any]) -> Mapping[str, Any]:
    if facts["status"] == COMPLETED:
        raise _ended(facts)
    return {**facts, "status": CANCELLED}


def _check_pending(upload: Thing) -> None:
    if upload.facts["status"] != PENDING:
        raise _ended(upload.facts)


def _ended(facts: Mapping[str, Any]) -> InvalidRequest:
    return InvalidRequest(f"The upload is {facts['status']}.", param="upload_id")


def _drop_parts(upload: Thing) -> None:
    """Of one that has ended."""
    archive = this_gateway().archive
    while parts := archive.page(upload.owner, ThingKind.PART, limit=100, parent=upload.id).things:
        for part in parts:
            _drop(part)


def _drop(thing: Thing) -> None:
    """Others may do so at the same time."""
    with suppress(NotStored):
        this_gateway().archive.remove(thing.owner, thing.kind, thing.id)
