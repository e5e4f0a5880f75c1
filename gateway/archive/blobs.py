"""What blobs are: bytes under a name, which are there whole or not at all, and never change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol


class Blobs(Protocol):
    """Every gateway process uses the same. Names are made here, of ids, and are safe as paths: `<kind>/<nn>/<id>`.

    Its methods wait without keeping the process's other requests waiting. They raise ArchiveUnavailable.
    """

    def write(self, name: str, pieces: Iterable[bytes]) -> int:
        """How many bytes there were. Once this returns, a loss of power loses nothing of them."""

    def read(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, in pieces. Raises NotStored."""

    def remove(self, name: str) -> None:
        """Also where there is none."""

    def walk(self) -> Iterator[tuple[str, int, float]]:
        """All there are: name, bytes, and when it was written (Unix time in seconds)."""
