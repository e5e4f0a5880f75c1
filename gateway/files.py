"""Files that clients have stored: how they come in, and what others read of them."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterator
from uuid import uuid4

from msgspec.structs import replace

from gateway.archive.thing import Page, Thing, ThingKind
from gateway.forms import FileForm
from gateway.schemas.files import read_form
from gateway.schemas.lists import Paging
from gateway.state import this_gateway
from shared.errors import InvalidRequest, NotStored

LARGEST_LINE = 16_777_216
"""Bytes of a line of a file that is read in lines."""
_PAGE = 100
"""Things that are asked for at once."""


def create(owner: str, form: FileForm) -> Thing:
    """Store the file of a form. Raises what `FileForm.content` and `Archive.keep` do."""
    gateway = this_gateway()
    gateway.archive.check_room(owner, form.least)

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
        return described(thing, expires, given["filename"], given["purpose"], form.kind)

    draft = Thing(f"file-{uuid4().hex}", ThingKind.FILE, owner, int(time.time()))
    kept = gateway.archive.keep(draft, content(), finish=finish)
    assert kept is not None, "nobody else has this id"
    return kept


def described(thing: Thing, expires: int, filename: str, purpose: str, kind: str) -> Thing:
    """A file that was written, with what is told of it; `kind` is its content type."""
    facts = {"bytes": thing.size, "filename": filename, "purpose": purpose, "kind": kind}
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


def text_of(owner: str, file_id: str, most: int) -> str:
    """The text of a file of at most so many bytes. Raises NotStored, and InvalidRequest where it is no text."""
    file = find(owner, file_id)
    if file.facts["bytes"] > most:
        raise _refuse(f"the file has {file.facts['bytes']} bytes, and {most} at most are read")
    raw = b"".join(this_gateway().archive.read(file)).removeprefix(codecs.BOM_UTF8)
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        raise _refuse(f"the file is no text in UTF-8, see byte {exc.start}") from exc
    if "\0" in text or text.startswith("%PDF-"):
        raise _refuse("the file is no text")
    return text


def lines(owner: str, file_id: str) -> Iterator[bytes]:
    """The lines of a file, without their ends. Raises NotStored, and InvalidRequest for one that is too long."""
    file = find(owner, file_id)
    rest = b""
    for piece in this_gateway().archive.read(file):
        *whole, rest = (rest + piece).split(b"\n")
        for number, line in enumerate((*whole, rest)):
            if len(line) > LARGEST_LINE:
                raise _refuse(f"a line of the file has more than {LARGEST_LINE} bytes")
            if number < len(whole):
                yield line.removesuffix(b"\r")
    if rest:
        yield rest


def _refuse(problem: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid 'file_id': {problem}.", param="file_id")
