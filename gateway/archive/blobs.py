"""What blobs are: bytes under a name, which are there whole or not at all, and never change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol


class Blobs(Protocol):
    """Every gateway process uses the same. Names are made here, and are safe as paths: `<kind>/<nn>/<id>.<random>`.

    Its methods wait without keeping the process's other requests waiting. They raise ArchiveUnavailable.
    """

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        """Once this returns, a loss of power loses nothing of them. What `pieces` raises leaves nothing behind."""

    def read(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, in pieces, or as many as there are. Raises NotStored."""

    def size(self, name: str) -> int | None:
        """How many bytes there are; None where there is no such blob."""

    def remove(self, name: str) -> None:
        """Also where there is none."""

    def walk(self) -> Iterator[tuple[str, int, float]]:
        """All there are: name, bytes, and when it was written (Unix time in seconds).

        Also what writers have left that were killed, under names that nothing has.
        """
