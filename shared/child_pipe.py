"""What a child process says on its stdout, waited for with an end: it may stop in the middle of a word, and what it has
started may keep the pipe open long after it has ended itself."""

from __future__ import annotations

import os
import select
import subprocess
import time

_PERIOD = 0.05
"""Seconds between two looks whether it has ended."""
_PIECE = 65_536


def hear(process: subprocess.Popen[bytes], within: float, most: int) -> bytes:
    """All that it says until it ends or closes the pipe, `most` bytes at most. Raises TimeoutError where it does
    neither within so many seconds."""
    return _read(process, within, most, _PIECE, b"")


def hear_line(process: subprocess.Popen[bytes], within: float, most: int) -> bytes:
    """The next line, with its end, or as much as it has said of that when it ended; raises what `hear` does. Of what
    comes after it nothing is taken."""
    return _read(process, within, most, 1, b"\n")


def _read(process: subprocess.Popen[bytes], within: float, most: int, piece: int, end: bytes) -> bytes:
    assert process.stdout is not None, "it is a pipe"
    poll = select.poll()  # which, unlike other ways to wait, takes no file descriptor
    poll.register(process.stdout, select.POLLIN)
    said, until = b"", time.monotonic() + within
    while len(said) < most and not (end and said.endswith(end)):
        ended = process.poll() is not None  # before the look: what it has said is in the pipe then
        left = until - time.monotonic()
        if poll.poll(0 if ended else max(0.0, min(_PERIOD, left)) * 1000):
            more = os.read(process.stdout.fileno(), min(piece, most - len(said)))
            if not more:
                break
            said += more
        elif ended:
            break
        elif left <= 0:
            raise TimeoutError
    return said
