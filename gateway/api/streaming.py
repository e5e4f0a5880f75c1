"""From a job's mailbox to the client: its events as they come, and a streamed answer made of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from flask import Response

from gateway import sse
from gateway.dispatch import Job
from gateway.mailbox import ClientGone, Mailbox
from gateway.state import this_gateway
from shared.protocol import Delta, Done, Event, Failed


def stream(job: Job, pieces: Iterator[bytes], waiting: ExitStack, mimetype: str = "text/event-stream") -> Response:
    """Stream the rest of a job. `waiting` is closed when the stream ends or the client leaves."""
    job.mailbox.model = ""
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


def events(mailbox: Mailbox) -> Iterator[Event]:
    """A job's events as they come, to the last. Raises ClientGone."""
    while True:
        event = mailbox.take(None)
        assert event is not None
        yield event
        if isinstance(event, Done | Failed):
            return


def first_decisive(mailbox: Mailbox, patience: float) -> Event | None:
    """The job's first event that decides the status line; None when it did not come within `patience` seconds.

    Progress decides nothing: after it the prompt may still turn out to be too long. Raises ClientGone.
    """
    end = time.monotonic() + patience
    while (left := end - time.monotonic()) > 0:
        event = mailbox.take(left)
        if isinstance(event, Delta | Done | Failed):
            return event
    return None
