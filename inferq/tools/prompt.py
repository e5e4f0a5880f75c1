"""What the user types: lines, several of them where they end with a backslash, or are pasted at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from inferq.terminal import echo
from inferq.tools.options import check_encodable
from shared.errors import InvalidRequest
from shared.regular_file import LARGEST_TEXT


def interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def inputs() -> Iterator[str]:
    """Until the end of the input. At a terminal with line editing and history, where Ctrl-C drops the line.

    What is pasted is one text, with all its lines, where the terminal tells that it is, and Python has GNU's readline.
    """
    at_terminal = interactive()
    if at_terminal:
        import readline  # `input` edits lines with it

        if os.environ.get("TERM", "dumb") != "dumb":  # else it would see what asks a terminal for this
            readline.parse_and_bind("set enable-bracketed-paste on")  # Python has it off
    while True:
        try:
            text = _read("> " if at_terminal else "", "… " if at_terminal else "")
        except EOFError:
            if at_terminal:
                echo()
            return
        except KeyboardInterrupt:
            if not at_terminal:
                raise
            echo()
            continue
        if text.strip():
            yield text


def read_all() -> str:
    """All that comes on stdin. Raises InvalidRequest."""
    try:
        text = sys.stdin.read(LARGEST_TEXT + 1)
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"not UTF-8 at byte {exc.start}", param="stdin") from exc
    if len(text) > LARGEST_TEXT:
        raise InvalidRequest(f"longer than {LARGEST_TEXT} characters", param="stdin")
    return check_encodable(text, "stdin")


def _read(prompt: str, more: str) -> str:
    try:
        text = input(prompt)
        while text.endswith("\\"):
            text = text[:-1] + "\n"
            try:
                text += input(more)
            except EOFError:
                break
    except UnicodeDecodeError as exc:
        raise InvalidRequest("not UTF-8", param="stdin") from exc
    return check_encodable(text, "stdin")
