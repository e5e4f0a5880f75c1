"""/v1/conversations: items that are kept in an order, for responses to go on with."""

from __future__ import annotations

from uuid import uuid4

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway import conversations
from gateway.answers import as_json
from gateway.api.body import read_body
from gateway.archive.thing import Thing
from gateway.auth import owner
from gateway.schemas.conversation import (
    ConversationChange,
    ItemsSchema,
    NewConversationSchema,
    render_conversation,
    render_deleted,
    render_item,
)
from gateway.schemas.lists import read_paging, render_list
from gateway.schemas.responses.include import read_include
from gateway.schemas.responses.items import Item, name_items

views = Blueprint("conversations", __name__)

_NEW, _CHANGE, _ITEMS = NewConversationSchema(), ConversationChange(), ItemsSchema()


@views.post("/conversations")
def create() -> ResponseReturnValue:
    asked = read_body(_NEW)
    return _told(conversations.create(owner().name, _named(asked["items"]), asked["metadata"]))


@views.get("/conversations/<conversation_id>")
def retrieve(conversation_id: str) -> ResponseReturnValue:
    return _told(conversations.find(owner().name, conversation_id))


@views.post("/conversations/<conversation_id>")
def update(conversation_id: str) -> ResponseReturnValue:
    return _told(conversations.describe(owner().name, conversation_id, read_body(_CHANGE)["metadata"]))


@views.delete("/conversations/<conversation_id>")
def delete(conversation_id: str) -> ResponseReturnValue:
    conversations.remove(owner().name, conversation_id)
    return as_json(render_deleted(conversation_id))


@views.get("/conversations/<conversation_id>/items")
def list_items(conversation_id: str) -> ResponseReturnValue:
    include = _include()
    found = conversations.page(owner().name, conversation_id, read_paging(request.args))
    return as_json(render_list([render_item(item, include) for item in found.items], more=found.more))


@views.post("/conversations/<conversation_id>/items")
def create_items(conversation_id: str) -> ResponseReturnValue:
    include, items = _include(), _named(read_body(_ITEMS)["items"])
    conversations.add(owner().name, conversation_id, items)
    return as_json(render_list([render_item(item, include) for item in items], more=False))


@views.get("/conversations/<conversation_id>/items/<item_id>")
def retrieve_item(conversation_id: str, item_id: str) -> ResponseReturnValue:
    include = _include()
    return as_json(render_item(conversations.item(owner().name, conversation_id, item_id), include))


@views.delete("/conversations/<conversation_id>/items/<item_id>")
def delete_item(conversation_id: str, item_id: str) -> ResponseReturnValue:
    return _told(conversations.remove_item(owner().name, conversation_id, item_id))


def _told(conversation: Thing) -> ResponseReturnValue:
    return as_json(render_conversation(conversation.id, conversation.created, conversation.facts["metadata"]))


def _include() -> frozenset[str]:
    return read_include([*request.args.getlist("include"), *request.args.getlist("include[]")])


def _named(items: list[Item]) -> list[Item]:
    """The items, each with an id."""
    return name_items(items, (), 0, uuid4().hex)
