"""Server-sent events: the chunks of a stream as they arrive, with comments while there is nothing to say.

The `openai` client dies of an `id:` field followed by a comment and a blank line. So the streams that it reads carry no
ids, and a comment is one line with a single newline.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gateway import errors
from gateway.pace import Turn
from gateway.replies import Mailbox
from shared.errors import InvalidRequest
from shared.protocol import Done, Event, Failed, Progress

LOOK = 2.0
"""Seconds after which a silent stream looks whether the job has come forward in the queue."""
QUIET = 8.0
"""Seconds after which it gets a comment in any case, so that it is never silent for more than ten: proxies cut silent
connections."""

Chunks = Callable[[Event], Iterable[dict[str, Any]]]
Lines = Callable[[Event], Iterable[str]]

Place = tuple[int, float]
"""How far a client has read: an event's number, and how many of its chunks."""

_END = "data: [DONE]\n\n"


def body(mailbox: Mailbox, first: Event | None, lines: Lines, turn: Callable[[], Turn | None]) -> Iterator[str]:
    """The body of a stream.

    `first` is an event that was taken from the mailbox already, None if it has been empty so far; `lines` makes an
    event's lines; `turn` tells when the job's turn will come, while it waits. What is there at one time goes out in
    one piece. Raises ClientGone.
    """
    event, piece = first, list[str]()
    spoken, told = -math.inf, 0
    while not isinstance(event, Done | Failed):
        if event is not None:
            piece.extend(lines(event))
        elif (there := turn()) and there.position != told:
            piece.append(_queued(there))
            told = there.position
        elif time.monotonic() - spoken >= QUIET:
            piece.append(_queued(there) if there else ": waiting\n")
        if piece and mailbox.empty():
            yield "".join(piece)
            piece.clear()
            spoken = time.monotonic()
        event = mailbox.take(LOOK)
    piece.extend(lines(event))
    yield "".join(piece)


def plain(chunks: Chunks) -> Lines:
    """Lines as OpenAI sends them."""

    def lines(event: Event) -> Iterator[str]:
        if isinstance(event, Progress):
            yield _comment(event)
        yield from map(_data, _values(event, chunks))
        if isinstance(event, Done):
            yield _END

    return lines


def numbered(chunks: Chunks, after: Place) -> Lines:
    """The same with ids, without what a client has read already.

    The id of an event's last chunk is the event's number, `5`; those of chunks before it are `5.1`, `5.2`, so that a
    client that was cut off between them misses and repeats nothing. `lines` has to see every event from the first on.
    """
    number = 0

    def lines(event: Event) -> Iterator[str]:
        nonlocal number
        number += 1
        if isinstance(event, Progress) and (number, 1) > after:
            yield _comment(event)
        values = list(_values(event, chunks))
        for part, value in enumerate(values, start=1):
            if (number, part) > after:
                yield f"id: {number if part == len(values) else f'{number}.{part}'}\n{_data(value)}"
        if isinstance(event, Done):
            yield _END

    return lines


def place(last_event_id: str | None) -> Place:
    """The place that an id of `numbered` marks. Raises InvalidRequest."""
    if not last_event_id:
        return 0, 0
    number, dot, part = last_event_id.partition(".")
    if not (number.isdecimal() and (part.isdecimal() or not dot)):
        raise InvalidRequest(f"Last-Event-ID: {last_event_id[:64]!r} is no id of an event.", param="Last-Event-ID")
    return int(number), int(part) if dot else math.inf


def _values(event: Event, chunks: Chunks) -> Iterable[dict[str, Any]]:
    if isinstance(event, Progress):
        return ()
    if isinstance(event, Failed):
        return (errors.body(errors.failure(event)),)
    return chunks(event)


def _data(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _comment(progress: Progress) -> str:
    return f": prompt {progress.done}/{progress.total}\n"


def _queued(turn: Turn) -> str:
    wait = "" if turn.wait is None else f" wait={math.ceil(turn.wait)}s"
    return f": queued position={turn.position}{wait}\n"
