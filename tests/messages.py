"""Requests in Anthropic's words, and what they become."""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict

from gateway.schemas import FORMATS
from shared.config import Config
from shared.protocol import Chat, FineChat, Message, Options
from tests.parsing import DEFAULTS, USER, refused

MESSAGES = FORMATS["anthropic.messages"]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
F = {"name": "f", "input_schema": SCHEMA}
BILLING = "x-anthropic-billing-header: cc_version=2.1.100.7b4; cc_entrypoint=cli; cch=eb6c6;"


def body(**given: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 100, "messages": [USER], **given}


def read(config: Config = DEFAULTS, **given: Any) -> tuple[FineChat, Options]:
    task, options = MESSAGES.parse(body(**given), 7, config)
    assert isinstance(task, Chat)
    return FineChat(**asdict(task)), options


def turns(*messages: dict[str, Any], **given: Any) -> list[Message]:
    return list(read(messages=list(messages), **given)[0].messages)


def error(**given: Any) -> tuple[str | None, str]:
    return refused(body(**given), MESSAGES)


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def use(identifier: str = "toolu_1", name: str = "f", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": identifier, "name": name, "input": arguments}


def result(content: Any = "4", identifier: str = "toolu_1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": identifier, "content": content, **more}


CALL = [USER, assistant(use())]
