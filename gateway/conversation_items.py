"""The items of conversations as things of the archive.

An item is a part of its conversation. Its id there begins with the conversation's: clients copy items from one to
another, with the ids that they have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from gevent.pool import Pool
from gevent.util import wrap_errors
from msgspec.json import decode, encode
from msgspec.structs import replace

from gateway.archive.archive import Archive
from gateway.archive.thing import Thing, ThingKind
from gateway.schemas.responses.items import Item
from shared.errors import InferqError, NotStored
from shared.protocol import Accepted

T = TypeVar("T")
R = TypeVar("R")

SMALL = 512
"""Bytes of an item that lies in the index, which may be in Redis's memory; larger ones are blobs."""
_AT_ONCE = 8
"""Blobs that are read, or written, at one time."""

Part = tuple[Thing, bytes | None]
"""An item that is to be stored, and what is in it where that is a blob."""


def additions(accepted: Accepted, given: Sequence[Item], answer: Mapping[str, Any]) -> list[Part]:
    """What a response that has ended adds to its conversation: its own input and its output, in this order.

    Nothing where it has none, and where it did not end well: then it is as if nobody had asked. Their ids are the same
    whenever this is called, for each is added once.
    """
    kept = accepted.options.kept
    if kept is None or not kept.conversation or answer["status"] not in ("completed", "incomplete"):
        return []
    added = {each["id"]: each for each in (*given[kept.inherited :], *answer["output"])}
    return make_parts(accepted.owner, kept.conversation, added.values(), accepted.created)


def make_parts(owner: str, conversation_id: str, items: Iterable[Item], created: int) -> list[Part]:
    return [_part(owner, conversation_id, each, created) for each in items]


def _part(owner: str, conversation_id: str, item: Item, created: int) -> Part:
    thing = Thing(place_of(conversation_id, item["id"]), ThingKind.ITEM, owner, created, parent=conversation_id)
    blob = encode(item)
    return (thing, blob) if len(blob) > SMALL else (replace(thing, facts={"item": item}), None)


def place_of(conversation_id: str, item_id: str) -> str:
    """The item's id as a thing."""
    return f"{conversation_id}-{item_id}"


def write_all(archive: Archive, parts: Iterable[Part]) -> list[Thing]:
    """Items whose blobs are there, to be added in one step: all of them, or none."""
    written = list[Thing]()

    def write(part: Part) -> Thing:
        thing, content = part
        if content is not None:
            thing = archive.write(thing, [content])
            written.append(thing)
        return thing

    try:
        return _side_by_side(write, parts)
    except Exception:
        archive.discard(written)
        raise


def read_all(
    archive: Archive, things: Sequence[Thing], passing_over: tuple[type[InferqError], ...] = (NotStored,)
) -> list[Item]:
    """What is in them; those that were removed meanwhile are left out."""

    def content(thing: Thing) -> Item | None:
        try:
            return read_one(archive, thing)
        except passing_over:
            return None

    return [found for found in _side_by_side(content, things) if found is not None]


def read_one(archive: Archive, thing: Thing) -> Item:
    """Raises NotStored."""
    found: Item = decode(b"".join(archive.read(thing))) if thing.blob else thing.facts["item"]
    return found


def _side_by_side(work: Callable[[T], R], given: Iterable[T]) -> list[R]:
    """What `work` makes of each, in their order, once all are done. Raises the first of what it has raised."""
    found: list[R | Exception] = Pool(_AT_ONCE).map(
        wrap_errors(Exception, work), given
    )  # what left it would be printed
    for fault in (each for each in found if isinstance(each, Exception)):
        raise fault
    return [each for each in found if not isinstance(each, Exception)]
