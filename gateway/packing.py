"""How an answer lies in the archive: what was accepted, what it was given, and all events of its job, as one blob.

The events are there as Redis had them, so that one of another version, which this one passes over, is kept as well.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from msgspec import Raw, Struct, ValidationError
from msgspec.json import decode, encode

from gateway.archive.threads import apart
from gateway.schemas.answer import condense
from gateway.slices import give_way
from shared.codec import decode as decode_events
from shared.codec import decode_accepted, decode_given, encode_given
from shared.codec import encode as encode_events
from shared.errors import ArchiveDamaged
from shared.protocol import Accepted, Event, State

_PIECE = 262_144
"""Bytes that are packed at once, by a thread."""
_SMALL = 65_536
"""Bytes that are made at once of what is packed, in less time than to ask a thread for it takes."""
_LITTLE = 4_096
"""Bytes that are packed at once, in less time than that."""
_SLICE = 65_536
"""Bytes of events that are decoded before others have their turn: some milliseconds."""


class Packed(NamedTuple):
    """What is in such a blob."""

    accepted: Accepted
    """The head."""
    state: State
    given: tuple[Any, ...]
    events: list[Event]


class _Layout(Struct, omit_defaults=True):
    """Its names are what files have for years: a further one may only say what can be passed over."""

    accepted: Raw
    state: State
    given: Raw
    events: list[Raw]
    """Arrays of some each."""


def pack(accepted: Accepted, state: State, given: Sequence[Any], events: Iterable[bytes]) -> Iterator[bytes]:
    """The blob, in pieces. `events` are encoded ones, some each."""
    head = Raw(encode_events([accepted.head()]))
    blob = encode(_Layout(head, state, Raw(encode_given(given)), [Raw(each) for each in events]))
    if len(blob) <= _LITTLE:
        yield zlib.compress(blob)
        return
    packer = zlib.compressobj()
    for start in range(0, len(blob), _PIECE):
        yield apart(partial(packer.compress, blob[start : start + _PIECE]))
    yield packer.flush()


def unpack(pieces: Iterable[bytes]) -> Packed:
    """The inverse of `pack`; others have their turn meanwhile. Raises ArchiveDamaged where it is none."""
    packed = b"".join(pieces)
    try:
        blob = decode(_inflate(packed), type=_Layout)
    except (zlib.error, ValidationError, ValueError) as exc:
        raise ArchiveDamaged(f"a stored answer is damaged: {exc}") from exc
    accepted, given = decode_accepted(bytes(blob.accepted)), decode_given(bytes(blob.given), give_way)
    return Packed(accepted, blob.state, given, list(_events(blob.events)))


def _inflate(packed: bytes) -> bytes:
    """Raises zlib.error."""
    unpacker = zlib.decompressobj()
    whole = unpacker.decompress(packed, _SMALL)
    if rest := unpacker.unconsumed_tail:
        whole += apart(partial(unpacker.decompress, rest))
    if not unpacker.eof:
        raise zlib.error("it ends too early")
    return whole


def _events(arrays: Iterable[Raw]) -> Iterator[Event]:
    size = 0
    for array in arrays:
        yield from filter(None, decode_events(bytes(array)))
        size += len(memoryview(array))
        if size >= _SLICE:
            size = 0
            give_way()


def condensed(events: Sequence[Event], blobs: Sequence[bytes]) -> Sequence[bytes]:
    """Of a chat few events are enough: it is told whole, in lists too. Of another version's, all are kept."""
    known = sum(len(decode_events(each)) for each in blobs) == len(events)
    return [encode_events(condense(events))] if known else blobs
