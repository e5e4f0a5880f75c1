"""Errors in Anthropic's words."""

from __future__ import annotations

from typing import Any

from shared.errors import ContextLengthExceeded, InferqError

_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""The type of an error by its status, where it is no other's."""
_TOO_LONG = "prompt is too long"
"""By which agents that speak to Anthropic know that they have to shorten a conversation."""
_NO_THREADS = "thread_unsupported_request"
"""By which clients know that they have to send the whole conversation."""


def render_failure(error: InferqError, status: int, request_id: str | None = None) -> dict[str, Any]:
    """`Format.render_failure`: Anthropic's error, which names the parameter in its message."""
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")
    message = error.message
    if error.code == ContextLengthExceeded.code:
        message = f"{_TOO_LONG}: {message}"
    elif error.param and error.param not in message:
        message = f"{error.param}: {message}"
    details = {"error_code": _NO_THREADS if error.param == "thread" else error.code}
    return {"type": "error", "error": {"type": kind, "message": message, "details": details}, "request_id": request_id}
