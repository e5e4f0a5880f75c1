"""Markdown at a terminal: in blocks, so that what is finished need not be drawn again."""

from __future__ import annotations

from collections.abc import Iterator

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, Markdown
from rich.segment import Segment
from rich.text import Text
from rich.theme import Theme

from inferq.terminal import harmless

LARGEST_BLOCK = 20_000
"""Letters of a block that is set; a longer one is shown as it is written."""
THEME = Theme({"markdown.code": "cyan", "markdown.code_block": "", "markdown.h1": "bold", "markdown.h2": "bold"})
"""Legible on light and on dark."""
_READER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
"""What looks like HTML is text: nothing of an answer is left out."""

Lines = list[list[Segment]]


class _Title(Heading):
    """At the left, and without a box."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class TerminalMarkdown(Markdown):
    """A text, set. Links show where they lead to."""

    elements = {**Markdown.elements, "heading_open": _Title}  # noqa: RUF012 - as rich has it

    def __init__(self, text: str) -> None:
        super().__init__("", code_theme="ansi_dark", hyperlinks=False)
        self.parsed = _READER.parse(text)


def split(text: str) -> tuple[str, str]:
    """The blocks that nothing which may follow can change, and the rest."""
    whole = text[: text.rfind("\n") + 1]  # a line that is not at its end may become anything
    begins = [token.map[0] for token in _READER.parse(whole) if token.level == 0 and token.map and token.nesting >= 0]
    lines = text.split("\n")
    last = begins[-1] if begins else 0
    return "".join(line + "\n" for line in lines[:last]), "\n".join(lines[last:])


def lines_of(console: Console, text: str, *, thought: bool = False) -> Lines:
    """The lines of a terminal that show it, without empty ones at its ends: set, or dimmed as a thought.

    None of them can steer it.
    """
    if thought:
        shown: Text | TerminalMarkdown = Text(text.rstrip("\n"), style="dim italic")
    else:
        shown = TerminalMarkdown(text) if len(text) <= LARGEST_BLOCK else Text(text)
    lines = [list(_tame(line)) for line in console.render_lines(shown, pad=False)]
    filled = [at for at, line in enumerate(lines) if any(segment.text.strip() for segment in line)]
    return lines[filled[0] : filled[-1] + 1] if filled else []


def _tame(line: list[Segment]) -> Iterator[Segment]:
    """Entities become letters only here."""
    return (Segment(harmless(segment.text), segment.style) for segment in line if not segment.control)
