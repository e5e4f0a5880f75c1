"""Server-sent events: the frames of a stream as they arrive, with comments while there is nothing to say.

The `openai` client dies of an `id:` field followed by a comment and a blank line. So the streams that it reads carry no
ids, and a comment is one line with a single newline.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gateway.estimate import Turn
from gateway.mailbox import Mailbox, Place
from gateway.schemas import Frame, Frames
from shared.errors import InvalidRequest
from shared.protocol import Done, Event, Failed, Progress

LOOK = 2.0
"""Seconds after which a silent stream looks whether the job has come forward in the queue."""
QUIET = 8.0
"""Seconds after which it gets a comment in any case, so that it is never silent for more than ten: proxies cut silent
connections."""

Lines = Callable[[Event], Iterable[bytes]]

_EXECUTION = 8
"""Letters of an execution's name that stand in an id."""
_LARGE = 65_536
"""Bytes that go out at once where there are more: others shall have their turn in between."""


def body(mailbox: Mailbox, first: Event | None, lines: Lines, turn: Callable[[], Turn | None]) -> Iterator[bytes]:
    """The body of a stream.

    `first` is an event that was taken from the mailbox already, None if it has been empty so far; `lines` makes an
    event's lines; `turn` tells when the job's turn will come, while it waits. What is there at one time goes out in
    one piece. Raises ClientGone.
    """
    event, piece, size = first, list[bytes](), 0
    spoken, told = -math.inf, 0
    while not isinstance(event, Done | Failed):
        if event is not None:
            more = list(lines(event))
            piece.extend(more)
            size += sum(map(len, more))
        elif (there := turn()) and there.position != told:
            piece.append(_turn_comment(there))
            told = there.position
        elif time.monotonic() - spoken >= QUIET:
            piece.append(_turn_comment(there) if there else b": waiting\n")
        if piece and (size > _LARGE or mailbox.empty()):
            yield b"".join(piece)
            if size > _LARGE:
                time.sleep(0)
            piece.clear()
            size = 0
            spoken = time.monotonic()
        event = mailbox.take(LOOK)
    piece.extend(lines(event))
    yield b"".join(piece)


def plain_lines(frames: Frames) -> Lines:
    """Lines without ids."""

    def lines(event: Event) -> Iterator[bytes]:
        if isinstance(event, Progress):
            yield _progress_comment(event)
        yield from map(_lines, frames(event))

    return lines


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a client has read."""

    number: int
    """Of the event."""
    part: float
    """How many of its frames."""
    by: str
    """What the name of the execution begins with that wrote it; empty where the client does not say."""


def numbered_lines(frames: Frames, after: Mark | None, place: Callable[[], Place]) -> Lines:
    """The same with ids, without what a client has read already.

    The id of an event's last frame is the event's number and its execution, `5-0f3c2a91`; those of frames before it are
    `5.1-0f3c2a91`, `5.2-0f3c2a91`, so that a client that was cut off between them misses and repeats nothing. `lines`
    has to see every event from the first on; `place` tells which one it is.
    """
    begun = after is None

    def lines(event: Event) -> Iterator[bytes]:
        nonlocal begun
        number, by = place()
        read = 0.0
        if after is not None and not begun:
            read = math.inf if number < after.number else after.part if number == after.number else 0.0
            begun = number >= after.number
        if isinstance(event, Progress) and read < 1:
            yield _progress_comment(event)
        made = list(frames(event))
        most = sum(frame.counts for frame in made)
        for part, frame in enumerate(made, start=1):
            if part > most:
                yield _lines(frame)
            elif part > read:
                mark = str(number) if part == most else f"{number}.{part}"
                yield f"id: {mark}-{by[:_EXECUTION]}\n".encode() + _lines(frame)

    return lines


def parse_mark(last_event_id: str | None) -> Mark | None:
    """What an id of `numbered_lines` says. Raises InvalidRequest."""
    if not last_event_id:
        return None
    found = re.fullmatch(r"(\d{1,15})(?:\.(\d{1,15}))?(?:-(\w{0,64}))?", last_event_id, re.ASCII)
    if not found:
        raise InvalidRequest(f"Last-Event-ID: {last_event_id[:64]!r} is no id of an event.", param="Last-Event-ID")
    number, part, by = found.groups()
    return Mark(int(number), int(part) if part else math.inf, by or "")


def _lines(frame: Frame) -> bytes:
    named = b"event: %b\n" % frame.name.encode() if frame.name else b""
    return b"%bdata: %b\n\n" % (named, frame.data)


def _progress_comment(progress: Progress) -> bytes:
    return b": prompt %d/%d\n" % (progress.done, progress.total)


def _turn_comment(turn: Turn) -> bytes:
    wait = b"" if turn.wait is None else b" wait=%ds" % math.ceil(turn.wait)
    return b": queued position=%d%b\n" % (turn.position, wait)
