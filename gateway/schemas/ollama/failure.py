"""Errors in Ollama's words: a text."""

from __future__ import annotations

from typing import Any

from shared.errors import InferqError


def render_failure(error: InferqError, status: int) -> dict[str, Any]:
    """`Format.render_failure`: the message, which names the parameter."""
    named = not error.param or error.param in error.message
    return {"error": error.message if named else f"{error.param}: {error.message}"}
