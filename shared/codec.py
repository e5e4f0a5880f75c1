"""Tasks and events as they travel through Redis: JSON objects with a `type`; fields at their default are left out.

Another version may have written them: fields and events that this one does not know are passed over. So a new field of
a task may only say what can be passed over; what changes the answer is a task, or a part of one, of a new kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Raw
from msgspec.json import Decoder, Encoder

from shared.errors import NotUnderstood
from shared.protocol import Accepted, Event

_ENCODER = Encoder()
_ACCEPTED = Decoder(tuple[Accepted])
_EVENTS = Decoder(list[Event | None])
_EVENT = Decoder(Event | None)
_ANY = Decoder()
_PARTS = Decoder(list[Raw])
_SLICE = 65_536
"""Bytes that are decoded before others have their turn: some milliseconds."""
_FAULTS = (ValueError, RecursionError)
"""No JSON, no UTF-8, not what this version knows, or too deep."""


def encode(events: Sequence[Accepted | Event]) -> bytes:
    """Events as one JSON array."""
    return _ENCODER.encode(events)


def encode_given(given: Sequence[Any]) -> bytes:
    """What is stored with an answer, see `Kept`, as one JSON array."""
    return _ENCODER.encode(given)


def decode_given(blob: bytes | str, pause: Callable[[], object] = lambda: None) -> tuple[Any, ...]:
    """The inverse of `encode_given`; `pause` is called between slices of the work.

    Raises NotUnderstood for what is no list.
    """
    given, size = list[Any](), 0
    try:
        for part in _PARTS.decode(blob):
            given.append(_ANY.decode(part))
            size += len(memoryview(part))
            if size >= _SLICE:
                size = 0
                pause()
        return tuple(given)
    except _FAULTS as exc:
        raise NotUnderstood(f"This version of inferq does not understand what is stored: {exc}.") from exc


def decode(blob: bytes | str) -> list[Event | None]:
    """The inverse of `encode` for events. None stands for one that this version does not know: it keeps its number.

    Raises NotUnderstood for what is no list.
    """
    try:
        return _EVENTS.decode(blob)
    except _FAULTS:  # there is one that is not known: each for itself
        pass
    try:
        return [_event(part) for part in _PARTS.decode(blob)]
    except _FAULTS as exc:
        raise NotUnderstood(f"This version of inferq does not understand what the job says: {exc}.") from exc


def decode_accepted(blob: bytes | str) -> Accepted:
    """The inverse of `encode([accepted])`. Raises NotUnderstood for what only another version can compute."""
    try:
        (accepted,) = _ACCEPTED.decode(blob)
    except _FAULTS as exc:
        raise NotUnderstood(f"This version of inferq does not understand how the job begins: {exc}.") from exc
    return accepted


def _event(part: Raw) -> Event | None:
    try:
        event: Event | None = _EVENT.decode(part)
    except _FAULTS:
        return None
    return event
