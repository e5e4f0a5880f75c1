"""Each request: its id, and at its end one line in the log and one more in the metrics."""

from __future__ import annotations

import logging
import time
from uuid import uuid4

from flask import Flask, Response, g, request

from gateway import request_span
from gateway.dispatch import Job
from gateway.errors import CLIENT_GONE
from gateway.peers import Proxies
from gateway.state import this_gateway
from shared import logs
from shared.protocol import Failed

log = logging.getLogger(__name__)

PROBES = frozenset({"/healthz", "/readyz", "/health", "/ping", "/metrics"})
"""What asks for these asks often: they are logged at `debug`, and not traced."""
_QUIET = PROBES | {"/ui/<edition>/<path:name>", "/v1/overview/events"}
"""Neither are the files of a page, which are many at once, and what watches for hours."""


def init_app(app: Flask, proxies: Proxies) -> None:
    """Has to come first, so that whatever else happens to a request can name it, and where it comes from."""

    def begin() -> None:
        g.began = time.monotonic()
        environ = request.environ
        g.peer = proxies.client(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""))
        g.scheme = proxies.scheme(environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_PROTO", ""))
        g.request_id = f"req_{uuid4().hex}"
        if _rule() not in _QUIET:
            request_span.begin(request)
        logs.bind(request_id=g.request_id, trace_id=request_span.trace_id())

    app.before_request(begin)
    app.after_request(_record_end)


def note(job: Job) -> None:
    """The current request waits for this job."""
    g.job = job
    request_span.link(job.accepted)
    request_span.place(this_gateway().tickets, job.id)
    names = {"request_id": g.request_id, "trace_id": request_span.trace_id()}
    logs.bind(**names, job_id=job.id, model=job.accepted.task.model)


def _record_end(response: Response) -> Response:
    """The status line is decided. A stream has yet to be sent, and nothing of Flask's context is left after it."""
    response.headers["x-request-id"] = response.headers["request-id"] = g.request_id  # OpenAI's name, and Anthropic's
    gateway = this_gateway()
    began, job, failure, model = g.began, g.get("job"), g.get("outcome"), g.get("model", "")
    endpoint = _rule()
    key = g.owner.name if "owner" in g else None
    status = response.status_code  # `end` must not know the response, which knows `end`
    span, of_request = g.get("span"), request_span.describe(request, endpoint)
    fields = {"method": request.method, "path": request.path, "peer": g.peer, "key": key, "status": status}

    @response.call_on_close
    def end() -> None:
        outcome = failure or _outcome(status, job)
        known = job.accepted.task.model if job else gateway.directory.known_id(model)
        gateway.metrics.count(endpoint, known, outcome)
        if job and job.visit:
            gateway.metrics.measure(job)
        spent = round((time.monotonic() - began) * 1000, 1)
        level = logging.DEBUG if endpoint in _QUIET else logging.INFO
        log.log(level, "answered", extra={**fields, "ms": spent, "outcome": outcome, "model": known})
        request_span.end(span, of_request, status, outcome, known, job and job.id)
        logs.bind()

    return response


def _rule() -> str:
    """By which the current request was found; empty where it leads nowhere."""
    return request.url_rule.rule if request.url_rule else ""


def _outcome(status: int, job: Job | None) -> str:
    """How a request ended that no error was answered to. A stream may fail after its status line."""
    if status == 202:
        return "accepted"
    if status == CLIENT_GONE[1]:
        return "client_gone"
    if job is None:
        return "completed"
    last = job.mailbox.last
    if last is None:
        return "client_gone"
    return last.code if isinstance(last, Failed) else "completed"
