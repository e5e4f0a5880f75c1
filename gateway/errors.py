"""Errors as answers: Flask's handlers, which say them in the words of the format that the request is answered in."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from flask import Flask, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from gateway.schemas.format import Format
from gateway.schemas.openai import render_failure
from gateway.schemas.outcomes import outcome
from shared.errors import InferqError, QueueFull

log = logging.getLogger(__name__)

Answer = tuple[dict[str, Any], int, Mapping[str, str]]


class Crowded(QueueFull):
    """A full queue, and the seconds after which a client may find a place in it, where somebody can tell."""

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def answer(error: InferqError, wire: Format | None = None) -> Answer:
    """Body, status and headers, as a view may return them; in OpenAI's words unless another format is given."""
    render = wire.render_failure if wire else render_failure
    found = outcome(error.code)
    headers = {}
    if found.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if not found.retry:
        headers["x-should-retry"] = "false"
    seconds = (error.retry_after if isinstance(error, Crowded) else None) or found.retry_after
    if seconds is not None:
        headers["Retry-After"] = str(math.ceil(seconds))
        headers["retry-after-ms"] = str(math.ceil(seconds * 1000))
    return render(error, found.status), found.status, headers


def init_app(app: Flask) -> None:
    """Answer every error of `app` as JSON."""
    app.register_error_handler(InferqError, _ours)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def _ours(error: InferqError) -> Answer:
    g.outcome = error.code
    return answer(error, g.get("format"))


def _http(error: HTTPException) -> Answer:
    """What Flask itself refuses. Keeps the status and headers such as Allow."""
    match error:
        case NotFound():
            message = f"Unknown URL: {request.method} {request.path}"
        case MethodNotAllowed():
            allowed = ", ".join(sorted(error.valid_methods or ()))
            message = f"{request.method} is not allowed on {request.path}, only {allowed}"
        case RequestEntityTooLarge():
            message = f"The request body is larger than {request.max_content_length} bytes"
        case _:
            message = error.description or error.name
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    if status < 500:
        headers["x-should-retry"] = "false"
    g.outcome = error.name.lower().replace(" ", "_")
    wire = g.get("format")
    render = wire.render_failure if wire else render_failure
    return render(InferqError(message, code=g.outcome), status), status, headers


def _unexpected(error: Exception) -> Answer:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return _ours(InferqError("The gateway failed on this request; its log says why."))
