"""Requests for responses as the schema reads them, and the items that they are made of."""

from __future__ import annotations

from typing import Any

from gateway.schemas.responses.format import ResponsesFormat
from gateway.schemas.responses.references import NOTHING, Referred
from shared.config import Config
from shared.protocol import Chat, Options, ToolCall

RESPONSES = ResponsesFormat()
HELLO = {"type": "input_text", "text": "Hello"}
CALL = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at":"sky"}'}
CUSTOM = {"type": "custom_tool_call", "call_id": "c2", "name": "write", "input": "all"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "blue"}
WRITTEN = {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "done"}]}
THOUGHT = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
SAID = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Well", "annotations": [], "logprobs": []}],
}
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": True}
WRITE = {"type": "custom", "name": "write", "format": {"type": "grammar", "syntax": "regex", "definition": "a+"}}
CALLS = (ToolCall("c1", "look", '{"at":"sky"}'), ToolCall("c2", "write", "all", custom=True))


def parse(referred: Referred = NOTHING, **given: Any) -> tuple[Chat, Options]:
    task, options = ResponsesFormat(referred).parse({"model": "m", "input": "Hello", **given}, 7, Config())
    assert isinstance(task, Chat)
    return task, options


def items(*given: Any, **more: Any) -> list[Any]:
    """What is stored of an input."""
    _, options = parse(input=[*given], **more)
    assert options.kept
    return [*options.kept.given]
