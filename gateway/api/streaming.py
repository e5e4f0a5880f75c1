"""A streamed answer, from a job's mailbox to the client's socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from flask import Response

from gateway import sse
from gateway.dispatch import Job
from gateway.replies import ClientGone
from gateway.state import this_gateway
from shared.protocol import Event


def stream(job: Job, first: Event | None, lines: sse.Lines, waiting: ExitStack) -> Response:
    """Stream the rest of a job; see `sse.body`. `waiting` is closed when the stream ends or the client leaves."""
    dispatcher = this_gateway().dispatcher

    def body() -> Iterator[str]:
        try:
            yield from sse.body(job.mailbox, first, lines, lambda: dispatcher.turn(job.accepted.task.model, job.id))
        except ClientGone:
            return

    response = Response(body(), mimetype="text/event-stream")
    response.headers.update({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
    response.call_on_close(waiting.pop_all().close)
    return response
