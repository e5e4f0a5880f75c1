"""/v1/chat/completions: the chats that are stored, listed, told again, changed, removed; and what they answer."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace as change_fields
from itertools import repeat
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from gevent.pool import Pool
from msgspec import Raw
from msgspec.structs import replace

from gateway.answers import as_json, counted
from gateway.api.body import read_body
from gateway.archive.thing import Thing, ThingKind
from gateway.auth import owner
from gateway.openapi.operation import operation
from gateway.openapi.parameters import METADATA, MODEL_FILTER, paging
from gateway.recordings import Recording, Recordings
from gateway.schemas import format_of
from gateway.schemas.lists import read_paging, render_page, take_page
from gateway.schemas.openai import encode
from gateway.schemas.stored_chats import ChangeSchema, read_filters, render_message
from gateway.state import this_gateway
from shared.errors import ArchiveDamaged, InferqError, NotStored
from shared.protocol import State

views = Blueprint("stored_chats", __name__)

LARGEST_LIST = 4_194_304
"""Bytes of chats after which a page of them ends, though more were asked for: whoever reads on gets the others."""
MOST_READ = 8
"""Chats of a page that are read at one time."""
_CHANGE = ChangeSchema()


@views.get("/chat/completions")
@operation("listChatCompletions", parameters=[*paging(order="asc"), MODEL_FILTER, METADATA])
def list_stored() -> ResponseReturnValue:
    """List the chats that are stored."""
    paging, where = read_paging(request.args, descending=False), read_filters(request.args)
    this_gateway().recordings.settle(owner().name)
    page = this_gateway().archive.page(owner().name, ThingKind.CHAT, where=where, **paging._asdict())
    told, size = list[tuple[str, Raw]](), 0
    with closing(_read(page.things)) as recordings:
        for chat in this_gateway().archive.tell_each(recordings, lambda found: (found.id, Raw(encode(_tell(found))))):
            told.append(chat)
            size += len(memoryview(told[-1][1]))
            if size >= LARGEST_LIST:
                break
    cut = bool(told) and told[-1][0] != page.things[-1].id
    return as_json(render_page(told, more=page.more or cut))


@views.get("/chat/completions/<chat_id>")
@operation("getChatCompletion")
def retrieve(chat_id: str) -> ResponseReturnValue:
    """Tell a stored chat again."""
    return as_json(_tell(_find(chat_id)))


@views.post("/chat/completions/<chat_id>")
@operation("updateChatCompletion", body=_CHANGE, example={"metadata": {"topic": "greetings"}})
def change(chat_id: str) -> ResponseReturnValue:
    """Change the metadata of a stored chat."""
    metadata = read_body(_CHANGE).get("metadata", {})
    found, gateway = _find(chat_id), this_gateway()
    if not gateway.archive.holds(owner().name, ThingKind.CHAT, chat_id):
        gateway.archiver.store(chat_id)  # others that have ended may wait before it
    changed = gateway.archive.change(
        owner().name, ThingKind.CHAT, chat_id, lambda facts: {**facts, "metadata": metadata}
    )
    return as_json(_tell(change_fields(found, facts=changed.facts)))


@views.delete("/chat/completions/<chat_id>")
@operation("deleteChatCompletion")
def remove(chat_id: str) -> ResponseReturnValue:
    """Remove a stored chat."""
    _find(chat_id)  # one that runs is not stored yet
    this_gateway().recordings.remove(ThingKind.CHAT, chat_id, owner().name)
    return as_json({"object": "chat.completion.deleted", "id": chat_id, "deleted": True})


@views.get("/chat/completions/<chat_id>/messages")
@operation("getChatCompletionMessages", parameters=paging(order="asc"))
def list_messages(chat_id: str) -> ResponseReturnValue:
    """List the messages that a stored chat answers."""
    paging = read_paging(request.args, descending=False)
    given = _find(chat_id).given
    told = [render_message(chat_id, place, message) for place, message in enumerate(given)]
    return as_json(take_page(told, paging))


def _find(chat_id: str) -> Recording:
    """One of ours that is complete: only then it is stored. Raises NotStored."""
    found = this_gateway().recordings.find(ThingKind.CHAT, chat_id, owner().name)
    if found.state is not State.COMPLETED:
        raise NotStored(chat_id)
    return found


def _tell(found: Recording) -> dict[str, Any]:
    """As it was answered, with the metadata that it has now."""
    options = found.accepted.options
    asked = {**options.asked, "metadata": found.facts["metadata"]}
    accepted = replace(found.accepted, options=replace(options, asked=asked))
    told: dict[str, Any] = format_of(accepted).render(found.id, accepted, counted(found.events))
    return told


def _read(things: Sequence[Thing]) -> Generator[Recording]:
    """Those of a page, in its order, some of them read side by side, without what went meanwhile or is damaged."""
    readers = Pool(MOST_READ)
    try:
        for found in readers.imap(_try, repeat(this_gateway().recordings), things, maxsize=MOST_READ):
            if isinstance(found, Recording):
                yield found
            elif not isinstance(found, (NotStored, ArchiveDamaged)):
                raise found
    finally:
        readers.kill()


def _try(recordings: Recordings, thing: Thing) -> Recording | InferqError:
    try:
        return recordings.load(thing)
    except InferqError as exc:
        return exc  # what leaves a greenlet would be printed
