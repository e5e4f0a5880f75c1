"""How a line of a batch has ended. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

from shared.protocol import Usage

NOTHING = Usage(0, 0)


@dataclass(frozen=True, slots=True)
class LineEnd:
    """What is told of a line in the files of results."""

    number: int
    """Of the line, from 1."""
    well: bool
    """It was answered; else it is one of the file of errors."""
    text: bytes
    """What is told of it there, with the line's end."""
    usage: Usage = NOTHING
    job_id: str = ""
    """Whose record is not needed any more; empty where there is none."""
