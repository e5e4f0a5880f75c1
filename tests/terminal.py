"""A program at a terminal, and what somebody sees there."""

from __future__ import annotations

import codecs
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time

from tests.commands import environment

_PIECES = re.compile(
    r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b\][^\x07\x1b]*\x07|\x1b[=>(]B?|[\r\n\x08\x07]|[^\x1b\r\n\x08\x07]+"
)


class Display:
    """What the letters and the few movements that we use make of a terminal, with all that has scrolled away."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.lines = [""]
        self.titles = 0
        self._row = self._column = 0

    def feed(self, text: str) -> None:
        for piece in _PIECES.finditer(text):
            if piece[2]:
                self._move(piece[1], piece[2])
            elif piece[0] == "\n":
                self._down()
            elif piece[0] == "\r":
                self._column = 0
            elif piece[0] == "\x08":
                self._column -= 1
            elif piece[0].startswith("\x1b]"):
                self.titles += 1
            elif piece[0] != "\x07" and not piece[0].startswith("\x1b"):
                for letter in piece[0]:
                    self._write(letter)

    def _move(self, how_far: str, kind: str) -> None:
        count = int(how_far or 1) if how_far.isdigit() or not how_far else 0
        top = max(0, len(self.lines) - self.rows)
        if kind == "A":
            self._row = max(top, self._row - count)
        elif kind == "H":
            self._row, self._column = top, 0
        elif kind == "K":
            self.lines[self._row] = "" if how_far == "2" else self.lines[self._row][: self._column]

    def _write(self, letter: str) -> None:
        if self._column == self.columns:
            self._column = 0
            self._down()
        line = self.lines[self._row].ljust(self._column)
        self.lines[self._row] = line[: self._column] + letter + line[self._column + 1 :]
        self._column += 1

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self.lines):
            self.lines.append("")


def _sized_by_the_terminal(environ: dict[str, str]) -> dict[str, str]:
    """Without what some that run tests say of it."""
    return {name: value for name, value in environ.items() if name not in ("COLUMNS", "LINES")}


class Terminal:
    """`inferq` at a terminal; `TERM` and the like in `environ`."""

    def __init__(self, *arguments: str, rows: int = 24, columns: int = 80, **environ: str) -> None:
        self.end, self._inner = pty.openpty()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.resize(rows, columns)
        self.child = subprocess.Popen(
            [sys.executable, "-P", "-m", "inferq", *arguments],
            stdin=self._inner,
            stdout=self._inner,
            stderr=self._inner,
            start_new_session=True,
            env=_sized_by_the_terminal(environment(**{"TERM": "dumb", **environ})),
        )
        self.seen = ""
        """What it has written after all that was waited for."""
        self.written = ""

    def type(self, text: str) -> None:
        os.write(self.end, text.encode())

    def reads(self, text: str, seconds: float = 30) -> None:
        """Wait until the program has written it, after all that was waited for before."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            self._read(0.1)
        self.seen = self.seen[self.seen.index(text) + len(text) :]

    def resize(self, rows: int, columns: int) -> None:
        termios.tcsetwinsize(self._inner, (rows, columns))

    def interrupt(self, after: float = 0.0) -> None:
        """`after` seconds: readline sees one that comes just before it waits for a key only with the next key."""
        time.sleep(after)
        self.child.send_signal(signal.SIGINT)

    @property
    def echoes(self) -> bool:
        """Whether what is typed shows."""
        return bool(termios.tcgetattr(self._inner)[3] & termios.ECHO)

    def close(self, status: int = 0) -> None:
        assert self.child.wait(20) == status
        while self._read(0.0):
            pass
        os.close(self._inner)
        os.close(self.end)

    def _read(self, seconds: float) -> bool:
        if not select.select([self.end], [], [], seconds)[0]:
            return False
        more = self._decoder.decode(os.read(self.end, 65536))
        self.seen += more
        self.written += more
        return True
