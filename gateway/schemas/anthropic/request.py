"""Requests to /v1/messages: a stub."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from gateway.schemas.chat import ChatFormat
from gateway.schemas.chat_request import ChatSchema
from gateway.schemas.parameters import Array, Text
from shared.config import Config
from shared.protocol import Chat, Options


class MessagesSchema(ChatSchema):
    stop_sequences = Array(Text(), low=0, high=99)
    system = Text()
    thinking = fields.Raw()  # type: ignore[assignment]
    tools = fields.Raw()  # type: ignore[assignment]


def read_messages(body: object, seed: int, config: Config) -> tuple[Chat, Options]:
    assert isinstance(body, dict)
    openai: dict[str, Any] = dict(body)
    openai.pop("thinking", None)
    if "stop_sequences" in openai:
        openai["stop"] = openai.pop("stop_sequences")
    if "tools" in openai:
        openai["tools"] = [
            {"type": "function", "function": {"name": t["name"], "parameters": t["input_schema"]}}
            for t in openai["tools"]
        ]
    return ChatFormat().parse(openai, seed, config)
