"""Files that clients have stored: how they come in, and what others read of them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from gateway.archive.thing import Page, Thing, ThingKind
from gateway.creations import Creation
from gateway.forms import FileForm
from gateway.schemas.files import read_form
from gateway.schemas.lists import Paging
from gateway.state import this_gateway
from shared.errors import InvalidRequest, NotStored

LARGEST_LINE = 16_777_216
"""Bytes of a line of a file that is read in lines."""
_PAGE = 100
"""Things that are asked for at once."""


def create(form: FileForm, creation: Creation) -> Thing:
    """Store the file of a form. Raises IdempotencyKeyReused, and what `FileForm.content` and `Archive.keep` do."""
    gateway = this_gateway()
    gateway.archive.check_room(creation.owner, form.least)

    def content() -> Iterator[bytes]:
        size = 0
        for piece in form.content():
            if not size:
                read_form(form.fields, form.filename, gateway.config, whole=False)
            size += len(piece)
            yield piece
        read_form(form.fields, form.filename, gateway.config, whole=True)
        if not size:
            raise InvalidRequest("Invalid 'file': it is empty.", param="file")

    def finish(thing: Thing) -> Thing:
        given = read_form(form.fields, form.filename, gateway.config, whole=True)
        expires = expiry(thing.created, given["purpose"], given.get("expires_after"))
        known = creation.know(thing, form.mark)
        return described(known, expires, given["filename"], given["purpose"], form.kind)

    return creation.once(ThingKind.FILE, "file-", lambda draft: gateway.archive.keep(draft, content(), finish=finish))


def described(thing: Thing, expires: int, filename: str, purpose: str, kind: str) -> Thing:
    """A file that was written, with what is told of it; `kind` is its content type."""
    facts = {**thing.facts, "bytes": thing.size, "filename": filename, "purpose": purpose, "kind": kind}
    return replace(thing, expires=expires, facts=facts)


def expiry(created: int, purpose: str, asked: dict[str, int] | None) -> int:
    """When a file goes (Unix time in seconds); 0 for never."""
    if asked:
        return created + asked["seconds"]
    return this_gateway().archive.usual_expiry(created) if purpose == "batch" else 0


def find(owner: str, file_id: str) -> Thing:
    """Raises NotStored."""
    return this_gateway().archive.find(owner, ThingKind.FILE, file_id)


def page(owner: str, paging: Paging, purpose: str) -> Page:
    """A part of the list of them; `purpose` may be empty. Raises NotStored for an `after` that is not there."""
    things: list[Thing] = []
    where = {"purpose": purpose} if purpose else None
    while True:
        limit, after = min(_PAGE, paging.limit - len(things)), things[-1].id if things else paging.after
        try:
            found = this_gateway().archive.page(
                owner, ThingKind.FILE, limit=limit, after=after, descending=paging.descending, where=where
            )
        except NotStored:
            if not things:
                raise
            things.pop()  # it went meanwhile
            continue
        things += found.things
        if not found.more or len(things) >= paging.limit:
            return Page(things, found.more)


def lines(owner: str, file_id: str) -> Iterator[bytes]:
    """The lines of a file, without their ends. Raises NotStored, and InvalidRequest for one that is too long."""
    file = find(owner, file_id)
    begun, size = list[bytes](), 0
    for piece in this_gateway().archive.read(file):
        first, *others = piece.split(b"\n")
        begun.append(first)
        size += len(first)
        for next_one in others:
            yield _join(begun, size).removesuffix(b"\r")
            begun, size = [next_one], len(next_one)
        if size > LARGEST_LINE:  # however long it gets
            break
    if size:
        yield _join(begun, size)


def _join(pieces: list[bytes], size: int) -> bytes:
    """A line."""
    if size > LARGEST_LINE:
        raise _refuse(f"a line of the file has more than {LARGEST_LINE} bytes")
    return b"".join(pieces)


def _refuse(problem: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid 'file_id': {problem}.", param="file_id")
