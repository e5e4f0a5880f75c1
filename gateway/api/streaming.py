"""From a job's mailbox to the client: its events as they come, and a streamed answer made of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial

from flask import Response, request

from gateway import access, sse
from gateway.auth import owner
from gateway.current_client import shortcut
from gateway.disconnect import watch
from gateway.dispatch import Job
from gateway.mailbox import ClientGone, Mailbox
from gateway.state import this_gateway
from shared.errors import InvalidRequest
from shared.protocol import Delta, Done, Event, Failed
from shared.ticket import Ticket

_PROGRESS = "x-inferq-progress"


def stream(job: Job, pieces: Iterator[bytes], waiting: ExitStack, mimetype: str = "text/event-stream") -> Response:
    """Stream the rest of a job. `waiting` is closed when the stream ends or the client leaves."""
    job.mailbox.model = ""
    if job.visit:
        job.visit.begun = True

    def body() -> Iterator[bytes]:
        with suppress(ClientGone):
            yield from pieces

    response = as_it_comes(body(), mimetype)
    response.call_on_close(waiting.pop_all().close)
    return response


def as_it_comes(pieces: Iterator[bytes], mimetype: str = "text/event-stream") -> Response:
    """A response that nobody on the way should hold back."""
    response = Response(pieces, mimetype=mimetype)
    response.headers.update({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
    return response


def follow(ticket: Ticket, waiting: ExitStack) -> Job:
    """Follow a job of ours for the client of the current request, which may leave without harm.

    `waiting` gets what is to be done then. Raises what the dispatcher does.
    """
    job = this_gateway().dispatcher.follow(ticket, owner())
    waiting.callback(this_gateway().dispatcher.detach, job)
    access.note(job)
    waiting.callback(watch(job.mailbox.leave))
    return job


def wants_progress() -> bool:
    """Whether the client of the current request asks for comments at once, see `sse.body`. Raises InvalidRequest."""
    given = request.headers.get(_PROGRESS, "0")
    if given not in ("0", "1"):
        raise InvalidRequest(f"{_PROGRESS}: expected 0 or 1, but got {given[:64]!r}.", param=_PROGRESS)
    return given == "1"


def events_as(
    lines: sse.Lines,
    job: Job,
    begun: Sequence[Event],
    end: bytes,
    *,
    progress: bool,
    news: Callable[[], Event | None] | None = None,
) -> Iterator[bytes]:
    """Server-sent events of a job; see `sse.body`."""
    dispatcher = this_gateway().dispatcher
    turn = partial(dispatcher.turn, job.accepted.task.model, job.id)
    way = shortcut(request.environ)
    return sse.body(job.mailbox, begun, lines, turn, end, progress=progress, shortcut=way, news=news)


def events(mailbox: Mailbox) -> Iterator[Event]:
    """A job's events as they come, to the last. Raises ClientGone."""
    while True:
        event = mailbox.take(None)
        assert event is not None
        yield event
        if isinstance(event, Done | Failed):
            return


def first_events(mailbox: Mailbox, patience: float) -> list[Event]:
    """The job's events up to the first that decides the status line, or those that came within `patience` seconds.

    Progress decides nothing: after it the prompt may still turn out to be too long. Raises ClientGone.
    """
    begun: list[Event] = []
    end = time.monotonic() + patience
    while (left := end - time.monotonic()) > 0:
        if event := mailbox.take(left):
            begun.append(event)
            if isinstance(event, Delta | Done | Failed):
                break
    return begun
