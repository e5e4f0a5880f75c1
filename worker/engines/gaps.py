"""How an answer that fills a gap ends, by its lines and by the time: the same for every engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence

from msgspec.structs import replace

from shared.protocol import Delta, Done, Event, FineCompletion


class _Lines:
    """Looks at an answer as it comes, for the place where one of its lines ends it."""

    def __init__(self, task: FineCompletion) -> None:
        self._indent, self._most = task.indent, task.line_ms / 1000
        self._column: int | None = None  # of the white space that a line has begun with; None: something has come
        self._begun = time.monotonic()

    def follow(self, text: str) -> int | None:
        """Where in the next part of it the answer ends; None: it goes on."""
        for place, character in enumerate(text):
            if self._column is not None:
                if character in " \t":
                    self._column += 1
                    continue
                if self._column < self._indent:
                    return place
                self._column = None
            if character == "\n":
                if self._late:
                    return place + 1
                self._column = 0
        return None

    @property
    def _late(self) -> bool:
        return self._most > 0 and time.monotonic() - self._begun > self._most


def fill(
    events: Iterator[Event], task: FineCompletion, past: Sequence[Delta], done: Callable[[int], Done], *, trimmed: bool
) -> Iterator[Event]:
    """The events of an engine that fills a gap, up to where the task ends it: with `done` of so many tokens.

    Of an answer that is to have none, only what comes before it: its prompt is read.
    """
    assert isinstance(events, Generator), "it can be closed"
    lines, count = None, 0
    for delta in past:
        lines = lines or _Lines(task)
        lines.follow(delta.text)
        count += len(delta.tokens)
    for event in events:
        match event:
            case Delta() if task.sampling.max_tokens == 0:
                events.close()
                yield Delta(finish_reason="length")
                yield _told(done(0), trimmed=trimmed)
                return
            case Delta():
                lines = lines or _Lines(task)
                count += len(event.tokens)
                if (end := lines.follow(event.text)) is not None:
                    events.close()
                    yield replace(event, text=event.text[:end], finish_reason="length", stop="")
                    yield _told(done(count), trimmed=trimmed)
                    return
                yield event
            case Done():
                yield _told(event, trimmed=trimmed)
            case _:
                yield event


def _told(done: Done, *, trimmed: bool) -> Done:
    return replace(done, usage=replace(done.usage, trimmed=trimmed))
