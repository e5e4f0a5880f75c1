"""An answer at a terminal: its Markdown set, its thoughts dimmed, how it stands below it, and its speed at the end."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.segment import Segment, SegmentLines
from rich.style import Style

from inferq.terminal import harmless
from inferq.tools.answers import QueuePlace
from inferq.tools.prose import THEME, Lines, lines_of, split
from inferq.tools.views import tell
from shared.protocol import Delta, Done, Event

_REST = 4
"""Drawing rests for so many times as long as it took: however slow the terminal, most of the time is the model's."""
_DIM = Style(dim=True)


class DrawnAnswer:
    """What is finished is printed once, and scrolls away as all text does.

    The last block is drawn anew in its place, and of it no more than the terminal has lines for.
    """

    def __init__(self, console: Console) -> None:
        self.text = ""
        self._console = console
        self._begun = time.monotonic()
        self._first = 0.0
        """When the answer, or its first thought, came; 0 before."""
        self._done: Done | None = None
        self._limit = False
        self._rest = ""
        """What is not printed yet, or not all of it."""
        self._thinks = False
        self._printed = 0
        """How many lines of that are."""
        self._gap = False
        """Whether something stands above it."""
        self._next = 0.0
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )

    def __enter__(self) -> DrawnAnswer:
        self._console.push_theme(THEME)
        self._live.start()
        self._draw([], "waiting")
        return self

    def take(self, event: Event | QueuePlace) -> None:
        if stand := tell(event):
            self._draw([], stand)
        elif isinstance(event, Delta):
            self._limit = event.finish_reason == "length"
            if event.text:
                self._write(event.text, thought=event.reasoning)
        elif isinstance(event, Done):
            self._done = event

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._draw(self._finish(), "")
        finally:
            self._live.stop()
            self._console.pop_theme()
        if kind is None:
            self._print([[Segment(self._account(), _DIM)], []])

    def _write(self, text: str, *, thought: bool) -> None:
        finished: Lines = []
        if thought != self._thinks:
            finished, self._thinks = self._finish(), thought
        self._first = self._first or time.monotonic()
        self._rest += harmless(text)
        if not thought:
            self.text += text
        if finished or time.monotonic() >= self._next:
            began = time.monotonic()
            self._draw(finished + self._cut(), "")
            self._next = time.monotonic() + _REST * (time.monotonic() - began)

    def _cut(self) -> Lines:
        """The lines of what is finished, and of what the terminal has no room for, as far as they are not printed."""
        if self._thinks:
            head, newline, rest = self._rest.rpartition("\n")
            head += newline
        else:
            head, rest = split(self._rest)
        lines: Lines = []
        if head.strip():
            lines, self._rest = self._lines(head)[self._printed :], rest
            self._printed, self._gap = 0, self._gap or bool(lines)
        begun = self._lines(self._rest)
        if (spill := len(begun) - max(1, self._console.height - 2)) > self._printed:
            lines += begun[self._printed : spill]
            self._printed = spill
        return lines

    def _finish(self) -> Lines:
        """The lines of all that is not printed."""
        lines = self._lines(self._rest)[self._printed :]
        self._gap = self._gap or bool(lines)
        self._rest, self._printed = "", 0
        return lines

    def _lines(self, text: str) -> Lines:
        lines = lines_of(self._console, text, thought=self._thinks)
        return [[], *lines] if lines and self._gap and not self._thinks else lines

    def _draw(self, finished: Lines, stand: str) -> None:
        """Print what is finished, and below it what is not, in one go."""
        live = self._lines(self._rest)[self._printed :]
        if stand:
            live.append([Segment(stand, _DIM)])
        self._live.update(SegmentLines(live, new_lines=True))
        if finished:
            self._print(finished)
        else:
            self._live.refresh()

    def _print(self, lines: Lines) -> None:
        self._console.print(SegmentLines(lines, new_lines=True), end="")

    def _account(self) -> str:
        """What it took, by this program's clock."""
        if self._done is None:
            return "stopped"
        tokens, seconds = self._done.usage.completion_tokens, time.monotonic() - self._first
        told = [f"{tokens} tokens" + (", as many as it may have" if self._limit else "")]
        if tokens > 1 and seconds > 0:
            told.append(f"{(tokens - 1) / seconds:.1f} tokens/s")
        return " · ".join([*told, f"first after {self._first - self._begun:.1f} s"] if self._first else told)
