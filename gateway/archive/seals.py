"""What is in a thing, as it lies in its blob: cut into pieces of one length, each with a checksum behind it.

So what was cut off, altered or put in another's place is found whenever it is read, also when only a part is. Pure.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator

from shared.errors import ArchiveDamaged

PIECE = 65_536
"""Bytes of content with one checksum. It stands in what is stored, and is never changed."""
_SUM = 4
_SEALED = PIECE + _SUM


def seal(name: str, content: Iterable[bytes]) -> Iterator[bytes]:
    """What is written of a content whose blob has that name."""
    place, held = 0, bytearray()
    for piece in content:
        held += piece
        while len(held) >= PIECE:
            yield _closed(name, place, bytes(held[:PIECE]))
            del held[:PIECE]
            place += 1
    if held:
        yield _closed(name, place, bytes(held))


def sealed_size(size: int) -> int:
    """Bytes of the blob of a content of so many."""
    return size + -(-size // PIECE) * _SUM


def unseal(
    name: str, size: int, read: Callable[[int, int], Iterator[bytes]], start: int = 0, end: int | None = None
) -> Iterator[bytes]:
    """The bytes from `start` up to `end` of a content of `size`; `read` gives those of its blob.

    Raises ArchiveDamaged before it gives any byte that is not what was written.
    """
    end = size if end is None else min(end, size)
    if start >= end:
        return
    first, last = start // PIECE, (end - 1) // PIECE
    pieces, held = read(first * _SEALED, min((last + 1) * _SEALED, sealed_size(size))), bytearray()
    for place in range(first, last + 1):
        wanted = min(_SEALED, sealed_size(size) - place * _SEALED)
        while len(held) < wanted and (piece := next(pieces, b"")):
            held += piece
        content, found = bytes(held[: wanted - _SUM]), bytes(held[wanted - _SUM : wanted])
        if found != _sum(name, place, content):
            raise ArchiveDamaged(f"the blob {name} was altered or cut off, near its byte {place * _SEALED}")
        del held[:wanted]
        yield content[max(0, start - place * PIECE) : end - place * PIECE]


def _closed(name: str, place: int, content: bytes) -> bytes:
    return content + _sum(name, place, content)


def _sum(name: str, place: int, content: bytes) -> bytes:
    """Also of where it lies, so that no other piece can stand for it."""
    return zlib.crc32(content, zlib.crc32(f"{name}:{place}".encode())).to_bytes(_SUM, "big")
