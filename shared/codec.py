"""Tasks and events as they travel through Redis: JSON objects with a `type`; fields at their default are left out.

Another version may have written them: fields and events that this one does not know are passed over. So a new field of
a task may only say what can be passed over; what changes the answer is a task, or a part of one, of a new kind.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from shared.errors import NotUnderstood
from shared.protocol import (
    Accepted,
    Chat,
    Completion,
    Delta,
    Done,
    Event,
    Failed,
    Message,
    Progress,
    Sampling,
    StartOver,
    Timings,
    Usage,
)

_KINDS: dict[str, type] = {
    c.__name__: c
    for c in (Completion, Chat, Sampling, Message, Usage, Timings, Accepted, Progress, Delta, StartOver, Done, Failed)
}
_FIELDS = {cls: {f.name: f.default for f in dataclasses.fields(cls)} for cls in _KINDS.values()}


def _pack(value: Any) -> Any:
    fields = _FIELDS.get(type(value))
    if fields is None:
        return [_pack(v) for v in value] if isinstance(value, tuple) else value
    packed: dict[str, Any] = {"type": type(value).__name__}
    for name, default in fields.items():
        item = getattr(value, name)
        if item != default:
            packed[name] = _pack(item)
    return packed


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        kind = _KINDS.get(str(value.get("type")))
        if kind is None:
            raise NotUnderstood(f"This version of inferq does not know {value.get('type')!r}.")
        known = _FIELDS[kind]
        fields = {name: _unpack(v) for name, v in value.items() if name in known}
        try:
            return kind(**fields)
        except TypeError as exc:  # a field that this version needs is missing
            raise NotUnderstood(f"This version of inferq does not understand {kind.__name__}: {exc}") from exc
    if isinstance(value, list):
        return tuple(_unpack(v) for v in value)
    return value


def encode(events: Iterable[Accepted | Event]) -> str:
    """Events as one JSON array."""
    return json.dumps([_pack(e) for e in events], ensure_ascii=False, separators=(",", ":"))


def decode(blob: bytes | str) -> list[Event | None]:
    """The inverse of `encode` for events. None stands for one that this version does not know: it keeps its number."""
    return [_event(value) for value in json.loads(blob)]


def decode_accepted(blob: bytes | str) -> Accepted:
    """The inverse of `encode([accepted])`. Raises NotUnderstood for what only another version can compute."""
    try:
        (accepted,) = map(_unpack, json.loads(blob))
    except (ValueError, TypeError) as exc:  # not JSON, or not one
        raise NotUnderstood(f"A job does not begin as it should: {exc}") from exc
    if not (isinstance(accepted, Accepted) and isinstance(accepted.task, Completion | Chat)):
        raise NotUnderstood(f"A job begins with {type(accepted).__name__} instead of Accepted.")
    return accepted


def _event(value: Any) -> Event | None:
    try:
        event = _unpack(value)
    except NotUnderstood:
        return None
    return event if isinstance(event, Progress | Delta | StartOver | Done | Failed) else None
