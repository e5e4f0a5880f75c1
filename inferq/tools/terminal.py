"""The terminal: how the tools that answer write to it, and how they end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from inferq.cli import INTERRUPTED
from inferq.terminal import echo

_TERMINATED = 128 + signal.SIGTERM


@contextmanager
def exit_quietly() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block, and then the program, as a shell expects it, without a trace of Python's."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@contextmanager
def status(text: str) -> Iterator[None]:
    """A line on stderr while the block runs, if it is a terminal."""
    show_status(text)
    try:
        yield
    finally:
        show_status("")


def show_status(text: str) -> None:
    """In the place of the last one."""
    if sys.stderr.isatty():
        echo(text, nl=False, err=True, before="\r\x1b[K")
