"""Server-sent events: the frames of a stream as they arrive, and a sign of life where there is nothing to say for long.

No comment survives all readers. Those that split at blank lines lose what follows one without a blank line, and one
that strips each read loses it even so; openai-go takes the blank line for an event until 2026; many know no comments
at all. So a sign of life is a chunk without text, which every reader has to know, and comments are for those who ask.

They end with a blank line but in streams with ids, where the `openai` client dies of it; it reads none.
"""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gateway.estimate import Turn
from gateway.mailbox import Mailbox, Place
from gateway.schemas import PAUSE, Frame, Frames
from gateway.shortcut import Shortcut
from gateway.slices import LONGEST_SLICE, give_way
from shared.errors import InvalidRequest
from shared.protocol import Delta, Done, Event, Failed, Progress

LOOK = 2.0
"""Seconds after which a silent stream, whose client asks for progress, looks whether the job has come forward."""
QUIET = 15.0
"""Seconds of silence after which a stream gives a sign of life in any case: proxies cut silent connections, many after
60."""
BLANK, SINGLE = b"\n\n", b"\n"
"""How comments end: in streams without ids, and in those with ids."""

Lines = Callable[[Event], Iterable[bytes]]

_WAITING = b"waiting"
_EXECUTION = 8
"""Letters of an execution's name that stand in an id."""
_LARGE = 65_536
"""Bytes that go out at once where there are more: others shall have their turn in between."""


def body(
    mailbox: Mailbox,
    begun: Sequence[Event],
    lines: Lines,
    turn: Callable[[], Turn | None],
    end: bytes,
    *,
    progress: bool,
    shortcut: Shortcut | None = None,
    news: Callable[[], Event | None] | None = None,
) -> Iterator[bytes]:
    """The body of a stream, of which pieces that come while it waits take the `shortcut`.

    `begun` are the events that were taken from the mailbox already; `lines` makes an event's lines; `turn` tells when
    the job's turn will come, while it waits; `end` ends a comment. With `progress` there are comments at once, and
    with each change; without it, and without ids, a chunk that says nothing where it is silent for long. `news` is
    what there is to tell while no event comes. What is taken at one time goes out in one piece. Raises ClientGone.
    """
    opened = False
    spoken, position, prompt = time.monotonic(), 0, _WAITING
    piece, size = list[bytes](), 0
    pending, told = deque(begun), False
    latest: Event | None = None

    def tell(event: Delta) -> bool:
        nonlocal spoken, position, prompt, told
        said, told = b"".join(lines(event)), True
        spoken, position, prompt = time.monotonic() if said else spoken, 0, _WAITING
        return shortcut is None or shortcut.send(said)

    def whole() -> bytes:
        nonlocal opened
        if shortcut and piece and not opened:
            shortcut.hold_head()
        opened = True
        return b"".join(piece)

    mailbox.tell = tell if shortcut else None
    event = pending.popleft() if pending else None
    if event is None:
        yield whole()  # which sends the headers, however long the rest takes
    while True:
        if event is None:
            if shortcut:
                shortcut.finish()
            quiet = time.monotonic() - spoken >= QUIET
            asks = progress and not told  # what comes by the shortcut is no silence, though it wakes nobody
            there = turn() if asks or (quiet and end is SINGLE) else None
            told = False
            if news and (found := news()) not in (None, latest):
                latest = found
                piece.extend(lines(found))
            elif quiet and not progress and end is BLANK:
                piece.extend(lines(PAUSE))
            elif quiet or (there and there.position != position):
                piece.append(b": %b%b" % (_turn(there) if there else prompt, end))
            position = there.position if there else 0
        else:
            prompt = _prompt(event) if isinstance(event, Progress) else _WAITING
            if progress and prompt is not _WAITING:
                piece.append(b": %b%b" % (prompt, end))
            more = list(lines(event))
            piece.extend(more)
            size += sum(map(len, more))
        if isinstance(event, Done | Failed):
            yield whole()
            return
        if piece and (size > _LARGE or mailbox.empty()):
            yield whole()
            if size > _LARGE:
                give_way()
            piece.clear()
            size = 0
            spoken = time.monotonic()
        left = spoken + QUIET - time.monotonic()
        if not (opened or pending or piece):
            yield whole()  # nothing comes with the headers
        event = pending.popleft() if pending else mailbox.take(max(0.01, min(left, LOOK) if progress or news else left))


def replay(events: Iterable[Event], lines: Lines) -> Iterator[bytes]:
    """The body of a stream whose events are all there."""
    piece, size, begun = list[bytes](), 0, time.monotonic()
    yield b""
    for event in events:
        if time.monotonic() - begun >= LONGEST_SLICE:  # much may be passed over, of which nothing is told
            give_way()
            begun = time.monotonic()
        more = list(lines(event))
        piece.extend(more)
        size += sum(map(len, more))
        if size > _LARGE:
            yield b"".join(piece)
            piece.clear()
            size = 0
    yield b"".join(piece)


def plain_lines(frames: Frames) -> Lines:
    """Lines without ids."""

    def lines(event: Event) -> Iterator[bytes]:
        return map(_lines, frames(event))

    return lines


def bare_lines(frames: Frames) -> Lines:
    """Lines of JSON, each a frame, in the place of events."""

    def lines(event: Event) -> Iterator[bytes]:
        return (frame.data + b"\n" for frame in frames(event))

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


def _prompt(progress: Progress) -> bytes:
    return b"prompt %d/%d" % (progress.done, progress.total)


def _turn(turn: Turn) -> bytes:
    wait = b"" if turn.wait is None else b" wait=%ds" % math.ceil(turn.wait)
    return b"queued position=%d%b" % (turn.position, wait)
