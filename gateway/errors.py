"""Errors in OpenAI's words: the one table that knows which HTTP answer belongs to which code, and Flask's handlers."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from flask import Flask, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from gateway.schemas.problem import CODES
from shared.errors import InferqError, KeyFull, QueueFull
from shared.protocol import Failed

log = logging.getLogger(__name__)

Answer = tuple[dict[str, Any], int, Mapping[str, str]]


class Crowded(InferqError):
    """A bound is reached, and the seconds after which a client may find a place, where somebody can tell."""

    def __init__(self, reason: QueueFull | KeyFull, retry_after: float | None) -> None:
        super().__init__(reason.message, code=reason.code)
        self.retry_after = retry_after


class Outcome(NamedTuple):
    """How an error is answered over HTTP."""

    status: int
    type: str
    retry: bool
    """Whether clients should repeat the request by themselves. OpenAI's does on 409, 429 and 5xx unless told not to."""
    retry_after: float | None = None
    """Seconds, where the error itself does not tell; at most 120, or OpenAI's client gives up."""


_INVALID = Outcome(400, "invalid_request_error", retry=False)
_UNKNOWN = Outcome(500, "server_error", retry=True)

_OUTCOMES: dict[str, Outcome] = {
    **dict.fromkeys(CODES, _INVALID),
    "context_length_exceeded": _INVALID,
    "unknown_event": _INVALID,
    "model_not_found": Outcome(404, "invalid_request_error", retry=False),
    "job_not_found": Outcome(404, "invalid_request_error", retry=False),
    "request_timeout": Outcome(408, "invalid_request_error", retry=False),
    "invalid_api_key": Outcome(401, "invalid_request_error", retry=False),
    "tier_refused": Outcome(403, "invalid_request_error", retry=False),
    # Somebody else ended the job: whoever still waits for it must not start it again unasked.
    "cancelled": Outcome(409, "invalid_request_error", retry=False),
    "idempotency_key_reused": Outcome(422, "invalid_request_error", retry=False),
    "queue_full": Outcome(429, "rate_limit_error", retry=True, retry_after=5),
    "key_queue_full": Outcome(429, "rate_limit_error", retry=True, retry_after=5),
    "store_unavailable": Outcome(503, "server_error", retry=True, retry_after=1),
    "model_file_error": Outcome(500, "server_error", retry=False),
    # Another worker may be able to.
    "model_load_error": Outcome(500, "server_error", retry=True),
    # The same request would only take the engine down once more.
    "engine_error": Outcome(500, "server_error", retry=False),
    # Whoever sees this status has seen nothing of the answer, and another worker can give a whole one.
    "worker_lost": Outcome(500, "server_error", retry=True),
    # The next gateway, or worker, that is asked may be of the version that wrote it.
    "other_version": Outcome(503, "server_error", retry=True, retry_after=1),
    # It waited its full time. Clients that repeat it by themselves would multiply the load just when there is too much.
    "deadline_exceeded": Outcome(504, "server_error", retry=False),
    "internal_error": _UNKNOWN,
}


def body(error: InferqError) -> dict[str, Any]:
    """OpenAI's error object, as the body of an answer or the data of a stream's last event."""
    return _body(error.message, _outcome(error).type, error.param, error.code)


def answer(error: InferqError) -> Answer:
    """Body, status and headers, as a view may return them."""
    outcome = _outcome(error)
    headers = {}
    if outcome.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if not outcome.retry:
        headers["x-should-retry"] = "false"
    seconds = (error.retry_after if isinstance(error, Crowded) else None) or outcome.retry_after
    if seconds is not None:
        headers["Retry-After"] = str(math.ceil(seconds))
        headers["retry-after-ms"] = str(math.ceil(seconds * 1000))
    return body(error), outcome.status, headers


def failure(event: Failed) -> InferqError:
    """The error that a job failed with, as the worker raised it."""
    return InferqError(event.message, param=event.param, code=event.code)


def init_app(app: Flask) -> None:
    """Answer every error of `app` as JSON."""
    app.register_error_handler(InferqError, _ours)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def _outcome(error: InferqError) -> Outcome:
    return _OUTCOMES.get(error.code, _UNKNOWN)


def _body(message: str, kind: str, param: str | None, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _ours(error: InferqError) -> Answer:
    g.outcome = error.code
    return answer(error)


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
    kind = _INVALID.type if status < 500 else _UNKNOWN.type
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    if status < 500:
        headers["x-should-retry"] = "false"
    g.outcome = error.name.lower().replace(" ", "_")
    return _body(message, kind, None, g.outcome), status, headers


def _unexpected(error: Exception) -> Answer:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return _ours(InferqError("The gateway failed on this request; its log says why."))
