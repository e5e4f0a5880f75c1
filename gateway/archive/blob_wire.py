"""What a process and its child that speaks to a store of objects say to each other."""

from __future__ import annotations

from msgspec import Struct

MOST_REQUESTS = 16
"""That the child works on at once."""


class BlobRequest(Struct):
    """One request. `work` is `write`, `read`, `size`, `remove` or `list`."""

    number: int
    work: str
    name: str = ""
    path: str = ""
    """Of the local file that is written."""
    start: int = 0
    end: int = 0


class BlobReply(Struct):
    """The answer to it, before its bytes."""

    number: int
    bytes: int = 0
    error: str = ""
    missing: bool = False
    """There is nothing of this name."""
