"""What a description by JSON Schema cannot say of conversations in Anthropic's words."""

from __future__ import annotations

import re
from typing import Any

from tests.fuzz import ollama

SPEAKERS = {
    "text": ("user", "assistant", "system"),
    "document": ("user",),
    "search_result": ("user",),
    "tool_result": ("user",),
    "tool_use": ("assistant",),
    "thinking": ("assistant",),
    "redacted_thinking": ("assistant",),
}
"""Who may say a block."""
BEYOND = {
    *((f"output_{name}", "invalid_value") for name in ("format", "config.format")),  # one that can be kept
    *((f"output_{name}.schema", "invalid_value") for name in ("format", "config.format")),
    ("messages", "array_above_max_length"),  # with the results
}
"""See `tests.fuzz.requests.BEYOND`."""
_BEFORE = re.compile(r"([a-z_]+): ")
_NAMED = re.compile(r"'([^']*)'")


def connect(messages: Any) -> None:
    """Let each say what is theirs, results be those of calls, and the last message be the user's."""
    called: list[str] = []
    messages[-1]["role"] = "user"
    for message in messages:
        if isinstance(message["content"], list):
            blocks = [block for block in message["content"] if message["role"] in SPEAKERS[block["type"]]]
            answered = [block for block in blocks if block["type"] == "tool_result"]
            for block in answered:
                block["tool_use_id"] = called[-1] if called else ""
            message["content"] = [block for block in blocks if called or block not in answered]
            called += [block["id"] for block in blocks if block["type"] == "tool_use"]


def read_error(said: dict[str, Any], status: int) -> tuple[str | None, str, str]:
    """(parameter, code, message) of an answer's error, OpenAI's, Anthropic's or Ollama's."""
    error = said["error"]
    if isinstance(error, str):
        named = _NAMED.search(error) or _BEFORE.match(error)
        return named[1] if named else None, ollama.code_of(status), error
    if "param" in error:
        return error["param"], error["code"], error["message"]
    found = _BEFORE.match(error["message"]) or _NAMED.search(error["message"])
    return found[1] if found else None, error["details"]["error_code"], error["message"]
