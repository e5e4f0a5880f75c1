"""Server-sent events: the chunks of a stream as they arrive, with comments while there is nothing to say.

The `openai` client dies of an `id:` field followed by a comment and a blank line. So these streams carry no ids, and
a comment is one line with a single newline.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gateway import errors
from gateway.dispatch import Job
from shared.protocol import Done, Event, Failed, Progress

QUIET = 10.0
"""Seconds after which a silent stream gets a comment: proxies cut silent connections."""

Chunks = Callable[[Event], Iterable[dict[str, Any]]]


def body(job: Job, first: Event | None, chunks: Chunks, position: Callable[[], int | None]) -> Iterator[str]:
    """The body of a stream.

    `first` is an event that was taken from the mailbox already, None if it has been empty so far; `chunks` makes an
    event's chunks; `position` tells the job's place in the queue. What is there at one time goes out in one piece.
    Raises ClientGone.
    """
    event, piece = first, list[str]()
    while not isinstance(event, Done | Failed):
        if event is None:
            piece.append(_waiting(position()))
        else:
            piece.extend(_lines(event, chunks))
        if piece and job.mailbox.empty():
            yield "".join(piece)
            piece.clear()
        event = job.mailbox.take(QUIET)
    piece.extend(_lines(event, chunks))
    yield "".join(piece)


def _lines(event: Event, chunks: Chunks) -> Iterator[str]:
    if isinstance(event, Progress):
        yield f": prompt {event.done}/{event.total}\n"
    elif isinstance(event, Failed):
        yield _data(errors.body(errors.failure(event)))
    else:
        for chunk in chunks(event):
            yield _data(chunk)
        if isinstance(event, Done):
            yield "data: [DONE]\n\n"


def _data(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _waiting(position: int | None) -> str:
    return ": waiting\n" if position is None else f": queued position={position}\n"
