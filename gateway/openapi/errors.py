"""Errors, as they are told: in OpenAI's words, and at its endpoints in Anthropic's."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}
_MAYBE = {"type": ["string", "null"]}

ERRORS: dict[str, dict[str, Any]] = {
    "Error": {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "message": {**_TEXT, "description": "What is wrong, and what to do, in words."},
                    "type": {"enum": ["invalid_request_error", "rate_limit_error", "server_error"], "type": "string"},
                    "param": {**_MAYBE, "description": "The parameter that it is about."},
                    "code": {**_MAYBE, "description": "What is wrong, in one word."},
                },
                "required": ["message", "type", "param", "code"],
            }
        },
        "required": ["error"],
    },
    "AnthropicError": {
        "type": "object",
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "properties": {"type": _TEXT, "message": _TEXT},
                "required": ["type", "message"],
            },
            "request_id": _MAYBE,
        },
        "required": ["type", "error"],
    },
}
