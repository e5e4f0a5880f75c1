"""The span of the current request, of which its job's are; see shared/tracing.py."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flask import Request, g

from gateway.errors import CLIENT_GONE
from shared import tracing
from shared.protocol import Accepted
from shared.store import Outage
from shared.tickets import Tickets
from shared.tracing import NOWHERE, Carried

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_WELL = ("completed", "accepted")
_REFUSED = range(400, CLIENT_GONE[1])
"""Status codes of what the client has done wrong, which is none of ours: so OpenTelemetry's conventions have it."""


def begin(request: Request) -> None:
    """The request's spans begin here, in its client's trace where it names one."""
    if (here := tracing.here()) is None:
        return
    g.span = here.serve({name.lower(): value for name, value in request.headers.items()})
    g.carried = here.carry(g.span)


def carried() -> Carried:
    """Where its job belongs."""
    found: Carried = g.get("carried", NOWHERE)
    return found


def trace_id() -> str:
    """That of its trace, for the log."""
    return tracing.trace_id(carried()[0])


def link(accepted: Accepted) -> None:
    """It waits for a job that another request has asked for, perhaps."""
    span, here = g.get("span"), tracing.here()
    if span and here and accepted.traceparent:
        here.link(span, (accepted.traceparent, accepted.tracestate))


def place(tickets: Tickets, job_id: str) -> None:
    """Tell where in the queue its job was accepted: 1 comes next, 0 is none that waits. Who records nothing does not
    ask."""
    if (span := g.get("span")) and span.is_recording():
        with suppress(*Outage):
            span.set_attribute("inferq.position", tickets.position(job_id) or 0)


def describe(request: Request, route: str) -> dict[str, Any]:
    """What of the current request is told by its span."""
    if g.get("span") is None:
        return {}
    host, _, port = request.host.rpartition(":")
    if not port.isdecimal():
        host, port = request.host, ""
    return {
        "http.request.method": request.method,
        "http.route": route,
        "url.path": request.path,
        "url.scheme": g.scheme,
        "server.address": host,
        "server.port": int(port) if port else None,
        "client.address": g.peer,
        "inferq.request_id": g.request_id,
        "inferq.key": g.owner.name if "owner" in g else "",
    }


def end(span: Span | None, told: dict[str, Any], status: int, outcome: str, model: str, job_id: str | None) -> None:
    """The answer is sent, or its client has left; `told` is what `describe` said."""
    here = tracing.here()
    if span is None or here is None:
        return
    if span.is_recording():
        span.update_name(f"{told['http.request.method']} {told['http.route']}".strip())
        ended = {"http.response.status_code": status, "gen_ai.request.model": model, "inferq.job_id": job_id}
        told |= {**ended, "inferq.outcome": outcome}
        span.set_attributes({key: value for key, value in told.items() if value not in ("", None)})
        if outcome not in _WELL:
            here.fail(span, outcome, clients=status in _REFUSED)
    span.end()
