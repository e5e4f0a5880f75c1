"""Server-sent events: the chunks of a stream as they arrive, with comments while there is nothing to say.

The `openai` client dies of an `id:` field followed by a comment and a blank line. So the streams that it reads carry no
ids, and a comment is one line with a single newline.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway import errors
from gateway.mailbox import Mailbox, Place
from gateway.pace import Turn
from shared.errors import InvalidRequest
from shared.protocol import Done, Event, Failed, Progress

LOOK = 2.0
"""Seconds after which a silent stream looks whether the job has come forward in the queue."""
QUIET = 8.0
"""Seconds after which it gets a comment in any case, so that it is never silent for more than ten: proxies cut silent
connections."""

Chunks = Callable[[Event], Iterable[dict[str, Any]]]
Lines = Callable[[Event], Iterable[str]]

_EXECUTION = 8
"""Letters of an execution's name that stand in an id."""
_LARGE = 65_536
"""Characters that go out at once where there are more: others shall have their turn in between."""

_END = "data: [DONE]\n\n"


def body(mailbox: Mailbox, first: Event | None, lines: Lines, turn: Callable[[], Turn | None]) -> Iterator[str]:
    """The body of a stream.

    `first` is an event that was taken from the mailbox already, None if it has been empty so far; `lines` makes an
    event's lines; `turn` tells when the job's turn will come, while it waits. What is there at one time goes out in
    one piece. Raises ClientGone.
    """
    event, piece, size = first, list[str](), 0
    spoken, told = -math.inf, 0
    while not isinstance(event, Done | Failed):
        if event is not None:
            more = list(lines(event))
            piece.extend(more)
            size += sum(map(len, more))
        elif (there := turn()) and there.position != told:
            piece.append(_queued(there))
            told = there.position
        elif time.monotonic() - spoken >= QUIET:
            piece.append(_queued(there) if there else ": waiting\n")
        if piece and (size > _LARGE or mailbox.empty()):
            yield "".join(piece)
            if size > _LARGE:
                time.sleep(0)
            piece.clear()
            size = 0
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


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a client has read."""

    number: int
    """Of the event."""
    part: float
    """How many of its chunks."""
    by: str
    """What the name of the execution begins with that wrote it; empty where the client does not say."""


def numbered(chunks: Chunks, after: Mark | None, place: Callable[[], Place]) -> Lines:
    """The same with ids, without what a client has read already.

    The id of an event's last chunk is the event's number and its execution, `5-0f3c2a91`; those of chunks before it are
    `5.1-0f3c2a91`, `5.2-0f3c2a91`, so that a client that was cut off between them misses and repeats nothing. `lines`
    has to see every event from the first on; `place` tells which one it is.
    """
    begun = after is None

    def lines(event: Event) -> Iterator[str]:
        nonlocal begun
        number, by = place()
        read = 0.0
        if after is not None and not begun:
            read = math.inf if number < after.number else after.part if number == after.number else 0.0
            begun = number >= after.number
        if isinstance(event, Progress) and read < 1:
            yield _comment(event)
        values = list(_values(event, chunks))
        for part, value in enumerate(values, start=1):
            if part > read:
                mark = str(number) if part == len(values) else f"{number}.{part}"
                yield f"id: {mark}-{by[:_EXECUTION]}\n{_data(value)}"
        if isinstance(event, Done):
            yield _END

    return lines


def mark(last_event_id: str | None) -> Mark | None:
    """What an id of `numbered` says. Raises InvalidRequest."""
    if not last_event_id:
        return None
    found = re.fullmatch(r"(\d{1,15})(?:\.(\d{1,15}))?(?:-(\w{0,64}))?", last_event_id, re.ASCII)
    if not found:
        raise InvalidRequest(f"Last-Event-ID: {last_event_id[:64]!r} is no id of an event.", param="Last-Event-ID")
    number, part, by = found.groups()
    return Mark(int(number), int(part) if part else math.inf, by or "")


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
