"""Conversations: items in an order, to which clients add, and responses when they have ended.

What a response adds is stored in one step with it, some time after its end. Whoever asks for items, or adds to them,
may know of that end; so what has ended and is not stored yet is stored before anything else is done: see `_open`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from msgspec.structs import replace

from gateway.archive.archive import DAY, Archive
from gateway.archive.index import MOST_PAGE
from gateway.archive.thing import Thing, ThingKind
from gateway.conversation_items import SMALL, make_parts, place_of, read_all, read_one, write_all
from gateway.creations import Creation
from gateway.schemas.lists import Paging
from gateway.schemas.responses.items import Item
from gateway.state import this_gateway
from shared.errors import ArchiveDamaged, InvalidRequest, NotStored

MOST_ITEMS = 10_000
"""Items of a conversation."""
LARGEST_CONVERSATION = 16_777_216
"""Bytes of the items that a response is given: they are in the memory of a process, all at once."""
LARGEST_LISTED = 4_194_304
"""Bytes of the items of a page, for the same reason; one it has in any case."""


class ItemPage(NamedTuple):
    """A part of a conversation."""

    items: list[Item]
    more: bool
    """There are others after these."""


def create(items: Sequence[Item], metadata: Mapping[str, str], creation: Creation) -> Thing:
    """A new conversation. Raises ArchiveFull, IdempotencyKeyReused."""
    archive = this_gateway().archive

    def make(draft: Thing) -> Thing | None:
        parts = write_all(archive, make_parts(draft.owner, draft.id, items, draft.created))
        facts = {**draft.facts, "metadata": dict(metadata)}
        return archive.keep(replace(draft, expires=archive.usual_expiry(draft.created), facts=facts), also=parts)

    return creation.once(ThingKind.CONVERSATION, "conv_", make)


def find(owner: str, conversation_id: str) -> Thing:
    """Raises NotStored."""
    return this_gateway().archive.find(owner, ThingKind.CONVERSATION, conversation_id)


def describe(owner: str, conversation_id: str, metadata: Mapping[str, str]) -> Thing:
    """Give it other metadata. Raises NotStored."""
    return this_gateway().archive.change(
        owner, ThingKind.CONVERSATION, conversation_id, lambda facts: {**facts, "metadata": dict(metadata)}
    )


def remove(owner: str, conversation_id: str) -> None:
    """It, and its items. Raises NotStored."""
    this_gateway().archive.remove(owner, ThingKind.CONVERSATION, conversation_id)


def add(owner: str, conversation_id: str, items: Sequence[Item]) -> None:
    """Put items behind those that are there, in one step. One that is there already, and the same, stays where it is.

    Raises NotStored, InvalidRequest, ArchiveFull.
    """
    archive, conversation = this_gateway().archive, _open(owner, conversation_id)
    fresh = [item for place, item in enumerate(items) if not _is_there(archive, conversation, item, place)]
    if archive.index.count(conversation_id) + len(fresh) > MOST_ITEMS:
        raise _full(f"{MOST_ITEMS} items", "items")
    _keep_longer(archive, conversation)
    while fresh:
        parts = write_all(archive, make_parts(owner, conversation_id, fresh, int(time.time())))
        if archive.keep(parts[0], also=parts[1:]):
            return
        fresh = fresh[1:]  # another request has added the first one meanwhile


def page(owner: str, conversation_id: str, paging: Paging) -> ItemPage:
    """A part of its items, fewer than are asked for where they are large.

    Raises NotStored: also where there is no item to go on after.
    """
    _open(owner, conversation_id)
    archive, after = this_gateway().archive, place_of(conversation_id, paging.after) if paging.after else ""
    how = {"parent": conversation_id, "after": after, "descending": paging.descending}
    try:
        things, more = archive.page(owner, ThingKind.ITEM, limit=paging.limit, **how)
    except NotStored:
        raise NotStored(paging.after, param="after") from None
    fitting = _fitting(things)
    found = read_all(archive, things[:fitting], (NotStored, ArchiveDamaged))
    return ItemPage(found, more or fitting < len(things))


def item(owner: str, conversation_id: str, item_id: str) -> Item:
    """One of its items. Raises NotStored."""
    _open(owner, conversation_id)
    archive = this_gateway().archive
    try:
        thing = archive.find(owner, ThingKind.ITEM, place_of(conversation_id, item_id))
        return read_one(archive, thing)
    except NotStored:
        raise NotStored(item_id) from None


def remove_item(owner: str, conversation_id: str, item_id: str) -> Thing:
    """Its conversation, after one of its items went. Raises NotStored."""
    conversation = _open(owner, conversation_id)
    try:
        this_gateway().archive.remove(owner, ThingKind.ITEM, place_of(conversation_id, item_id))
    except NotStored:
        raise NotStored(item_id) from None
    return conversation


def items(owner: str, conversation_id: str) -> list[Item]:
    """All of its items, the first one first: what a response is given that goes on with it.

    Raises NotStored, InvalidRequest where they are more than a response can be given, and ArchiveFull where there is no
    room for what it will add.
    """
    archive, conversation = this_gateway().archive, _open(owner, conversation_id)
    archive.check_room(owner)
    _keep_longer(archive, conversation)
    things: list[Thing] = []
    size, more = 0, True
    while more:
        how = {"parent": conversation_id, "after": things[-1].id if things else "", "descending": False}
        try:
            found, more = archive.page(owner, ThingKind.ITEM, limit=MOST_PAGE, **how)
        except NotStored:  # the last one was removed meanwhile
            things, size = [], 0
            continue
        things += found
        size += sum(thing.size or SMALL for thing in found)
        if len(things) > MOST_ITEMS:
            raise _full(f"{MOST_ITEMS} items", "conversation")
        if size > LARGEST_CONVERSATION:
            raise _full(f"{LARGEST_CONVERSATION} bytes", "conversation")
    return read_all(archive, things)


def _fitting(things: Sequence[Thing]) -> int:
    """How many of them, from the first on, a page has."""
    sizes = accumulate(thing.size for thing in things)
    return max(1, sum(size <= LARGEST_LISTED for size in sizes))


def _open(owner: str, conversation_id: str) -> Thing:
    """A conversation that has all that was added to it before now. Raises NotStored, StoreUnavailable."""
    conversation = find(owner, conversation_id)
    this_gateway().archiver.catch_up(conversation_id)
    return conversation


def _is_there(archive: Archive, conversation: Thing, item: Item, place: int) -> bool:
    """Whether a conversation has this item already. Raises InvalidRequest where it has another one of its id."""
    try:
        thing = archive.find(conversation.owner, ThingKind.ITEM, place_of(conversation.id, item["id"]))
        there = read_one(archive, thing)
    except NotStored:
        return False
    if there != item:
        raise _doubled(item["id"], place)
    return True


def _doubled(item_id: str, place: int) -> InvalidRequest:
    message = f"Invalid 'items[{place}].id': the conversation has another item {item_id!r} already."
    return InvalidRequest(message, param=f"items[{place}].id", code="invalid_value")


def _full(what: str, param: str) -> InvalidRequest:
    message = f"Invalid '{param}': a conversation may have {what}. Please remove some, or begin another one."
    return InvalidRequest(message, param=param, code="invalid_value")


def _keep_longer(archive: Archive, conversation: Thing) -> None:
    """It goes so many days after it was last used; a day is as exact as that is."""
    expires = archive.usual_expiry(int(time.time()))
    if abs(expires - conversation.expires) >= DAY:
        archive.index.change(conversation, conversation.facts, expires)  # whoever changed it meanwhile has used it
