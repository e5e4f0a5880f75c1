"""What the commands print.

Others choose much of it, a model its answer and a file its names: none of that may steer the user's terminal.
"""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tabs and ends of lines, and what makes text run the other way than it is read."""


def harmless(text: str) -> str:
    """Without what moves a cursor, sets a title, or shows another order of letters than there is."""
    return _STEERING.sub("", text)


def echo(text: object = "", *, nl: bool = True, err: bool = False, before: str = "") -> None:
    """Print at once, to a terminal what is harmless there, and anywhere else exactly what was given.

    What the encoding of the stream does not know becomes a question mark. `before` is ours, and may steer.
    """
    stream = sys.stderr if err else sys.stdout
    shown = before + (harmless(str(text)) if stream.isatty() else str(text))
    encoding = stream.encoding or "utf-8"
    # click takes colours out of what goes elsewhere, unless it is told that they may stay.
    click.echo(shown.encode(encoding, "replace").decode(encoding), nl=nl, err=err, color=True)


def drawable() -> Console | None:
    """Where something can be drawn anew in its place; None where stdout is no terminal, or one that cannot do that.

    What it does not know becomes a question mark, and nothing that is printed there is taken for markup.
    """
    if not sys.stdout.isatty():
        return None
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(markup=False, emoji=False, highlight=False)
    return None if console.is_dumb_terminal else console
