"""What blobs are: bytes under a name, which are there whole or not at all, and never change."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import Protocol

from gateway.archive.thing import Thing

_MARK = 6
"""Digits of an index's identity in the names of its blobs."""


def new_name(thing: Thing, identity: str) -> str:
    """For what is in a thing, in the index of that identity: `<kind>/<nn>/<id>.<index><random>`."""
    return f"{thing.kind}/{thing.id[-2:]}/{thing.id}.{identity[:_MARK]}{secrets.token_hex(4)}"


def id_of(name: str) -> str:
    """Of the thing that may have a blob of this name."""
    return name.rpartition("/")[2].partition(".")[0]


def is_others(name: str, identity: str) -> bool:
    """Whether a blob was written for another index. Of what a writer left that was killed nobody knows."""
    mark = name.rpartition("/")[2].partition(".")[2]
    return bool(mark) and not mark.startswith(identity[:_MARK])


class Blobs(Protocol):
    """Every gateway process uses the same. Names come from `new_name`, and are safe as paths.

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
