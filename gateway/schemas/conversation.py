"""Conversations: what may be asked of them, and how they and their items are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import fields

from gateway.schemas.metadata import Metadata
from gateway.schemas.objects import Strict
from gateway.schemas.parameters import each
from gateway.schemas.problem import refuse, wrong_type
from gateway.schemas.responses.include import LOGPROBS
from gateway.schemas.responses.items import REFERENCE, Item, describe_item, read_item

MOST_ITEMS_AT_ONCE = 20
"""Items that one request may add to a conversation, as OpenAI's."""


class Items(fields.Field[list[Item]]):
    """Items as the input of a response has them. None refers to another one: here they are what is referred to."""

    def __init__(self, low: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low = low

    @property
    def json_schema(self) -> dict[str, Any]:
        return {
            "type": "array",
            "minItems": self.low,
            "maxItems": MOST_ITEMS_AT_ONCE,
            "items": describe_item(without=REFERENCE),
        }

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> list[Item]:
        if not isinstance(value, list):
            raise wrong_type("an array", value)
        if len(value) < self.low:
            raise refuse("empty_array", "the array must not be empty")
        if len(value) > MOST_ITEMS_AT_ONCE:
            reason = f"at most {MOST_ITEMS_AT_ONCE} items, but there are {len(value)}"
            raise refuse("array_above_max_length", reason)
        return each(value, _read)


def _read(value: object) -> Item:
    if (item := read_item(value))["type"] == REFERENCE:
        raise refuse("unsupported_value", "a conversation has items themselves", name="type")
    return item


class NewConversationSchema(Strict):
    """Of a new one."""

    items = Items(0, load_default=[])
    metadata = Metadata(load_default={})


class ConversationChange(Strict):
    """Of one that there is; null takes away what it has."""

    named = ("metadata",)
    metadata = Metadata(load_default={})


class ItemsSchema(Strict):
    """Of items that a conversation gets."""

    items = Items(1, required=True)


def render_conversation(conversation_id: str, created: int, metadata: Mapping[str, str]) -> dict[str, Any]:
    return {"id": conversation_id, "object": "conversation", "created_at": created, "metadata": dict(metadata)}


def render_deleted(conversation_id: str) -> dict[str, Any]:
    return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}


def render_item(item: Item, include: frozenset[str]) -> Item:
    """It, without what nobody has asked for."""
    if item.get("type") != "message" or LOGPROBS in include:
        return item
    return {**item, "content": [_plain(part) for part in item["content"]]}


def _plain(part: dict[str, Any]) -> dict[str, Any]:
    return {**part, "logprobs": []} if part.get("logprobs") else part
