"""/v1/conversations: items that are kept in an order, for responses to go on with."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway import conversations
from gateway.answers import as_json
from gateway.api.body import read_body, read_creation
from gateway.archive.thing import Thing
from gateway.auth import owner
from gateway.creations import Creation
from gateway.openapi.operation import operation
from gateway.openapi.parameters import COMING_AGAIN, INCLUDE, paging
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
@operation(
    "createConversation",
    body=_NEW,
    example={"items": [{"role": "user", "content": "Hello!"}]},
    parameters=[COMING_AGAIN],
)
def create() -> ResponseReturnValue:
    """Begin a conversation that responses can go on with."""
    asked, creation = read_creation(_NEW)
    return _told(conversations.create(_named(asked["items"], creation), asked["metadata"], creation))


@views.get("/conversations/<conversation_id>")
@operation("getConversation")
def retrieve(conversation_id: str) -> ResponseReturnValue:
    """Tell a conversation."""
    return _told(conversations.find(owner().name, conversation_id))


@views.post("/conversations/<conversation_id>")
@operation("updateConversation", body=_CHANGE, example={"metadata": {"topic": "greetings"}})
def update(conversation_id: str) -> ResponseReturnValue:
    """Change the metadata of a conversation."""
    return _told(conversations.describe(owner().name, conversation_id, read_body(_CHANGE)["metadata"]))


@views.delete("/conversations/<conversation_id>")
@operation("deleteConversation")
def delete(conversation_id: str) -> ResponseReturnValue:
    """Remove a conversation with its items."""
    conversations.remove(owner().name, conversation_id)
    return as_json(render_deleted(conversation_id))


@views.get("/conversations/<conversation_id>/items")
@operation("listConversationItems", parameters=[*paging(), INCLUDE])
def list_items(conversation_id: str) -> ResponseReturnValue:
    """List the items of a conversation."""
    include = _include()
    found = conversations.page(owner().name, conversation_id, read_paging(request.args))
    return as_json(render_list([render_item(item, include) for item in found.items], more=found.more))


@views.post("/conversations/<conversation_id>/items")
@operation(
    "createConversationItems",
    body=_ITEMS,
    example={"items": [{"role": "user", "content": "Hello!"}]},
    parameters=[COMING_AGAIN, INCLUDE],
)
def create_items(conversation_id: str) -> ResponseReturnValue:
    """Add items to a conversation."""
    include, (asked, creation) = _include(), read_creation(_ITEMS)
    items = _named(asked["items"], creation)
    conversations.add(owner().name, conversation_id, items)
    return as_json(render_list([render_item(item, include) for item in items], more=False))


@views.get("/conversations/<conversation_id>/items/<item_id>")
@operation("getConversationItem", parameters=[INCLUDE])
def retrieve_item(conversation_id: str, item_id: str) -> ResponseReturnValue:
    """Tell an item of a conversation."""
    include = _include()
    return as_json(render_item(conversations.item(owner().name, conversation_id, item_id), include))


@views.delete("/conversations/<conversation_id>/items/<item_id>")
@operation("deleteConversationItem")
def delete_item(conversation_id: str, item_id: str) -> ResponseReturnValue:
    """Remove an item of a conversation."""
    return _told(conversations.remove_item(owner().name, conversation_id, item_id))


def _told(conversation: Thing) -> ResponseReturnValue:
    return as_json(render_conversation(conversation.id, conversation.created, conversation.facts["metadata"]))


def _include() -> frozenset[str]:
    return read_include([*request.args.getlist("include"), *request.args.getlist("include[]")])


def _named(items: list[Item], creation: Creation) -> list[Item]:
    """The items, each with an id, which is the same when they come again."""
    return name_items(items, (), 0, creation.seed)
