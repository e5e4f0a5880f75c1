"""A streamed answer, from a job's mailbox to the client's socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress

from flask import Response

from gateway import sse
from gateway.dispatch import Job
from gateway.mailbox import ClientGone
from gateway.state import this_gateway
from shared.protocol import Event


def stream(job: Job, pieces: Iterator[bytes], waiting: ExitStack, mimetype: str = "text/event-stream") -> Response:
    """Stream the rest of a job. `waiting` is closed when the stream ends or the client leaves."""
    if job.visit:
        job.visit.begun = True

    def body() -> Iterator[bytes]:
        with suppress(ClientGone):
            yield from pieces

    response = Response(body(), mimetype=mimetype)
    response.headers.update({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
    response.call_on_close(waiting.pop_all().close)
    return response


def events_as(lines: sse.Lines, job: Job, first: Event | None) -> Iterator[bytes]:
    """Server-sent events of a job; see `sse.body`."""
    dispatcher = this_gateway().dispatcher
    return sse.body(job.mailbox, first, lines, lambda: dispatcher.turn(job.accepted.task.model, job.id))
