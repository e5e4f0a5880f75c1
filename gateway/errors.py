"""Errors as answers: Flask's handlers, which say them in the words of the format that the request is answered in."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flask import Flask, current_app, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from gateway.bodies import too_large
from gateway.paths import explain, is_anthropics, is_ollamas
from gateway.schemas.anthropic.failure import render_failure as render_anthropics
from gateway.schemas.ollama.failure import render_failure as render_ollamas
from gateway.schemas.openai import render_failure
from gateway.schemas.outcomes import outcome
from shared.errors import InferqError, KeyFull, KeyMemoryFull, NotServed, QueueFull

log = logging.getLogger(__name__)

Answer = tuple[dict[str, Any], int, Mapping[str, str]]
CLIENT_GONE = ("", 499)
"""Nobody reads this answer."""
Render = Callable[[InferqError, int], dict[str, Any]]


class Crowded(InferqError):
    """A bound is reached, and the seconds after which a client may find a place, where somebody can tell."""

    def __init__(self, reason: QueueFull | KeyFull | KeyMemoryFull, retry_after: float | None) -> None:
        super().__init__(reason.message, code=reason.code)
        self.retry_after = retry_after


def answer(error: InferqError, render: Render = render_failure) -> Answer:
    """Body, status and headers, as a view may return them; `render` has the words."""
    found = outcome(error.code)
    headers = {}
    if found.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.permanent or not found.retry:
        headers["x-should-retry"] = "false"
    seconds = (error.retry_after if isinstance(error, Crowded) else None) or found.retry_after
    if seconds is not None and not error.permanent:
        headers["Retry-After"] = str(math.ceil(seconds))
        headers["retry-after-ms"] = str(math.ceil(seconds * 1000))
    return render(error, found.status), found.status, headers


def init_app(app: Flask) -> None:
    """Answer every error of `app` as JSON."""
    app.register_error_handler(InferqError, _answer_ours)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(Exception, _answer_unexpected)


def _words() -> Render:
    """Those of the format in which the current request is answered; else, where nobody has named one, OpenAI's.

    Anthropic's are known before, by the path, or by the header that its clients send everywhere; Ollama's by the path.
    """
    if is_anthropics(request.path) or ("format" not in g and "anthropic-version" in request.headers):
        return partial(render_anthropics, request_id=g.get("request_id"))
    if "format" in g:
        found: Render = g.format.render_failure
        return found
    return render_ollamas if is_ollamas(request.method, request.path) else render_failure


def _forget_frames(error: BaseException | None) -> None:
    """Of an error that was dealt with, and of those that led to it.

    Flask and marshmallow keep the error where its frames find it, so that they, and with them all that the request was,
    would stay in memory until somebody looks for such circles.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _answer_ours(error: InferqError) -> Answer:
    _forget_frames(error)
    g.outcome = error.code
    if error.words:  # the message is for who looks after the machine
        log.warning("%s %s: %s", request.method, request.path, error.message)
        error = InferqError(error.public, param=error.param, code=error.code)
    return answer(error, _words())


def _answer_http(error: HTTPException) -> Answer:
    """What Flask itself refuses. Keeps the status and headers such as Allow."""
    match error:
        case NotFound():
            told = explain(request.method, request.path, (rule.rule for rule in current_app.url_map.iter_rules()))
            if isinstance(told, NotServed):
                _forget_frames(error)
                return _answer_ours(told)
            message = told
        case MethodNotAllowed():
            allowed = ", ".join(sorted(error.valid_methods or ()))
            message = f"{request.method} is not allowed on {request.path}, only {allowed}"
        case RequestEntityTooLarge():
            _forget_frames(error)
            return _answer_ours(too_large(request.max_content_length or 0))
        case _:
            message = error.description or error.name
    _forget_frames(error)
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    if status < 500:
        headers["x-should-retry"] = "false"
    g.outcome = error.name.lower().replace(" ", "_")
    return _words()(InferqError(message, code=g.outcome), status), status, headers


def _answer_unexpected(error: Exception) -> Answer:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    _forget_frames(error)
    return _answer_ours(InferqError("The gateway failed on this request; its log says why."))
