"""How an answer is shown while it comes: as it is written, or drawn."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from inferq.terminal import drawable, echo
from inferq.tools.answers import QueuePlace
from inferq.tools.prompt import interactive
from inferq.tools.terminal import show_status
from shared.protocol import Delta, Event, Progress


class AnswerView(Protocol):
    """Of one answer, from the first of its events to the last."""

    text: str
    """What it has been given to show, without thoughts."""

    def take(self, event: Event | QueuePlace) -> None: ...

    def __enter__(self) -> AnswerView: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class PlainAnswer:
    """Letter by letter on stdout; how it stands, and that it thinks, in a line of stderr, if that is a terminal."""

    def __init__(self) -> None:
        self.text = ""
        self._thought = 0

    def take(self, event: Event | QueuePlace) -> None:
        if stand := tell(event):
            show_status(stand)
        elif isinstance(event, Delta) and event.reasoning:
            self._thought += len(event.text)
            show_status(f"thinking: {self._thought} characters")
        elif isinstance(event, Delta):
            if not self.text:
                show_status("")
            self.text += event.text
            echo(event.text, nl=False)

    def __enter__(self) -> PlainAnswer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.text:
            show_status("")
        if kind is None:
            echo()


def tell(event: Event | QueuePlace) -> str:
    """How an answer stands that has not begun; empty where the event is of one that has."""
    match event:
        case QueuePlace():
            return f"{event.position}. in the queue" + (f", about {event.wait}" if event.wait else "")
        case Progress():
            return f"reading the prompt: {event.done}/{event.total}"
    return ""


def choose_view(*, plain: bool) -> Callable[[], AnswerView]:
    """What makes a view of each answer: drawn in a conversation at a terminal that can, unless `plain`."""
    console = drawable() if interactive() and not plain else None
    if console is None:
        return PlainAnswer
    from inferq.tools.drawn import DrawnAnswer

    return lambda: DrawnAnswer(console)
