"""What an execution adds to its job at one time, as `Tickets.append` sends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.codec import encode
from shared.protocol import Delta, Done, Event, Failed, final_state

Addition = tuple[Any, ...]
"""Packed: job id, execution, number of the first event, how many, the events, their tokens; at the end the state."""


def addition(job_id: str, execution: str, *, first: int, events: Sequence[Event], generates: bool = True) -> Addition:
    """Events numbered from `first`; the last one may end the job. See append.lua.

    How long a job has held slots tells something of others where it `generates`.

    Raises whatever an event raises that cannot be written.
    """
    tokens = sum(len(event.tokens) for event in events if isinstance(event, Delta))
    packed = (job_id, execution, first, len(events), encode(events).decode(), tokens)
    state = final_state(events[-1]) if events else None
    return (*packed, state, _ending(events[-1]) | {"generates": generates}) if state else packed


def _ending(last: Event) -> dict[str, Any]:
    """What the end of a job leaves in the counts, the history, and the list of failures."""
    match last:
        case Done(usage=usage):
            names = ("prompt_tokens", "completion_tokens", "cached_tokens")
            return {"usage": {name: getattr(usage, name) for name in names}}
        case Failed():
            return {"code": last.code, "message": last.message}
    raise TypeError(f"a job does not end with {type(last).__name__}")
