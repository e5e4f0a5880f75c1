"""Stored chats in OpenAI's words: what an answer repeats of its request, how one is found, and what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, validates_schema

from gateway.schemas.chat_request import ChatSchema
from gateway.schemas.metadata import Metadata
from gateway.schemas.objects import Strict, levels
from gateway.schemas.parameters import Boolean
from gateway.schemas.problem import first
from gateway.schemas.sampling import tell_sampling
from gateway.schemas.structured import MOST_LEVELS
from shared.errors import InvalidRequest
from shared.protocol import Accepted, Kept, TextTask

_METADATA = Metadata()
_REPEATED = ("tools", "tool_choice", "response_format")
"""What is repeated as it came."""
_STORED = ("metadata", "user")
"""What is told of a chat that is stored, and asks for nothing of any other."""
_TEXTS = ("text", "input_text", "output_text")
"""Types of parts that are a text, which OpenAI calls `text` when it tells them."""


class StoringChatSchema(ChatSchema):
    """A chat that may be stored."""

    store = Boolean(load_default=False)  # type: ignore[assignment]  # nobody else stores anything

    @validates_schema
    def stores(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Of what is stored `metadata` is as OpenAI has it; else it asks for nothing."""
        if data["store"]:
            read_metadata(data.get("metadata", {}))

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        return [name for name in super().ignored(data) if not (data.get("store") and name in _STORED)]


class ChangeSchema(Strict):
    """What can be changed of a stored chat."""

    named = ("metadata",)  # null is none at all
    metadata = Metadata()


def keep(given: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """What `read` returned of a body, as fields of `Options`: what is stored beside the answer, and what it repeats.

    Raises InvalidRequest.
    """
    if not given["store"]:
        return {}
    for name in ("messages", *_REPEATED):
        if levels(body.get(name)) > MOST_LEVELS:
            problem = f"Invalid '{name}': what is stored has at most {MOST_LEVELS} levels of arrays and objects."
            raise InvalidRequest(problem, param=name, code="invalid_value")
    asked = {name: body[name] for name in _REPEATED if body.get(name)}
    told = {"metadata": given.get("metadata"), "input_user": given.get("user")}
    asked |= {name: value for name, value in told.items() if value}
    return {"kept": Kept(tuple(body["messages"])), "asked": asked}


def repeat(accepted: Accepted) -> dict[str, Any]:
    """What the answer to a chat that is stored says of its request; of one that is not, nothing."""
    task = accepted.task
    if accepted.options.kept is None or not isinstance(task, TextTask):
        return {}
    return {
        "metadata": {},
        "request_id": accepted.request_id,
        "input_user": None,
        "seed": task.sampling.seed,
        **tell_sampling(task),
        **dict.fromkeys(_REPEATED),
        **accepted.options.asked,
    }


def read_metadata(value: object) -> dict[str, str]:
    """Those of a request or a query. Raises ValidationError."""
    try:
        return _METADATA.deserialize(value) or {}
    except ValidationError as exc:
        raise ValidationError({"metadata": exc.messages}) from exc


def read_filters(query: Mapping[str, str]) -> dict[str, str]:
    """The facts that are asked for: `model`, and each `metadata[key]`. Raises InvalidRequest."""
    pairs = {name[9:-1]: value for name, value in query.items() if name.startswith("metadata[") and name.endswith("]")}
    try:
        wanted = {f"metadata.{key}": value for key, value in read_metadata(pairs).items()}
    except ValidationError as exc:
        raise first(exc) from exc
    return {**wanted, **({"model": query["model"]} if query.get("model") else {})}


def render_message(chat_id: str, place: int, message: Mapping[str, Any]) -> dict[str, Any]:
    """One of those that were asked, as it came. Parts are told beside their text."""
    content = message.get("content")
    parts = [_part(part) for part in content] if isinstance(content, list) else None
    if parts is not None:
        content = "\n".join(part["text"] or "" for part in parts if part["type"] == "text")
    named = {"id": f"{chat_id}-{place}", "content": content, "name": message.get("name"), "content_parts": parts}
    return {**message, **named}


def _part(part: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = part.get("type") or "text"
    return {**part, "type": "text" if kind in _TEXTS else kind}
