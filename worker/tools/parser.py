"""What of an answer is content and what are calls, as it comes, however it is cut into pieces."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from shared.protocol import Call, Tool
from worker.engines.stops import StopStrings
from worker.tools.form import END, END_OF_TEXT, OPENER, header

MOST_BLANKS = 16
"""Characters of white space before a call that are no content: models like to put some there."""
_OUTSIDE = re.compile(r'["{}\[\]]')
_INSIDE = re.compile(r'["\\]')

Piece = tuple[str, Call | None]
"""A text, and the call whose arguments it is of; None: it is content."""


class CallParser:
    """Takes the text of one answer. What is not written in the form is content: nothing is lost, nothing is wrong.

    `anywhere`: calls may come after content; else only where the answer begins with one, for its content is of a
    grammar, which may have the opener. `must`: there are only calls.
    """

    def __init__(self, tools: Sequence[Tool], *, anywhere: bool, must: bool = False) -> None:
        self.calls = 0
        """How many have begun."""
        # The brace that begins the arguments belongs to both: where there is none, it is no call.
        self._tools = {header(tool) + ("" if tool.custom else "{"): tool for tool in tools}
        self._headers, self._ends = StopStrings(tuple(self._tools)), StopStrings((END_OF_TEXT,))
        self._anywhere = anywhere
        self._surely = 1 if must else len(OPENER)
        """From how many of its characters on a beginning is a call's, and not content that looks like one."""
        self._pieces: list[Piece] = []
        self._call: Call | None = None
        self._go_on(self._content)

    def add(self, text: str) -> list[Piece]:
        """What can be told when this has come. A call is told of as soon as it is known, with a text or without."""
        self._pieces = []
        while text:
            text = self._read(text)
        return self._pieces

    def end(self, *, cut: bool = False) -> list[Piece]:
        """What was held back. Of an answer that was `cut` the beginning of a call is no content."""
        self._pieces = []
        begun = self._headers.begun(self._state) if cut and self._read == self._content else 0
        ends = self._read == self._closing or (self._last and self._held == END_OF_TEXT)
        if begun >= self._surely:
            self._say(self._held[:-begun].rstrip())
        elif not ends:
            self._say(self._held)
        return self._pieces

    def _go_on(self, read: Callable[[str], str], *, last: bool = False) -> None:
        """What comes next is for `read`, which returns what another has to take."""
        self._read, self._last = read, last
        self._held, self._state = "", 0
        self._depth, self._quoted, self._escaped = 1, False, False

    def _say(self, text: str) -> None:
        if text and self._pieces and self._pieces[-1][1] is self._call:
            self._pieces[-1] = (self._pieces[-1][0] + text, self._call)
        elif text:
            self._pieces.append((text, self._call))

    def _content(self, new: str) -> str:
        text, before = self._held + new, len(self._held)
        self._state, start = self._headers.follow(new, self._state)
        size = self._headers.begun(self._state)
        begin = len(text) - size if start is None else before + start
        if begin and not self._anywhere:
            self._go_on(self._plain)
            return text
        bare = text[:begin].rstrip()
        blank = max(len(bare), begin - MOST_BLANKS)
        self._say(text[:blank])
        self._held = text[blank:]
        return "" if start is None else self._open(text[begin : begin + size], text[begin + size :])

    def _open(self, header: str, rest: str) -> str:
        tool = self._tools[header]
        self._call = Call(self.calls, tool.name, tool.custom)
        self._pieces.append(("" if tool.custom else "{", self._call))
        self.calls, self._anywhere = self.calls + 1, True
        if not tool.custom:
            self._go_on(self._arguments)
        elif tool.grammar and tool.grammar.kind != "regex":
            self._go_on(self._plain)
        else:
            self._go_on(self._text, last=tool.grammar is not None)
        return rest

    def _plain(self, text: str) -> str:
        """All of it, to the end of the answer."""
        self._say(text)
        return ""

    def _text(self, new: str) -> str:
        """Up to the first end, or to the last one, behind which there is nothing."""
        text, before = self._held + new, len(self._held)
        self._state, start = self._ends.follow(new, self._state)
        begin = len(text) - self._ends.begun(self._state) if start is None else before + start
        self._say(text[:begin])
        self._held = text[begin:]
        if start is None:
            return ""
        rest = text[begin + len(END_OF_TEXT) :]
        if self._last:
            self._held = END_OF_TEXT
        else:
            self._close()
        return rest

    def _arguments(self, text: str) -> str:
        """A JSON object, after its first brace."""
        at = int(self._escaped)
        self._escaped = False
        while found := (_INSIDE if self._quoted else _OUTSIDE).search(text, at):
            at = found.end()
            match found[0]:
                case '"':
                    self._quoted = not self._quoted
                case "\\":
                    self._escaped = at == len(text)
                    at += 1
                case "{" | "[":
                    self._depth += 1
                case _:
                    self._depth -= 1
            if not self._depth:
                self._say(text[:at])
                self._go_on(self._closing)
                return text[at:]
        self._say(text)
        return ""

    def _closing(self, new: str) -> str:
        """What follows the arguments."""
        text = self._held + new
        if len(text) < len(END) and END.startswith(text):
            self._held = text
            return ""
        self._close()
        return text.removeprefix(END)

    def _close(self) -> None:
        self._call = None
        self._go_on(self._content)
