"""A job's whole record, as tests look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis import Redis

from shared import streams
from shared.codec import decode_accepted
from shared.keys import Key
from shared.protocol import Accepted, Event


@dataclass(frozen=True, slots=True)
class Record:
    """What it is to compute, and what it has emitted."""

    accepted: Accepted
    events: list[Event | None]


def read(client: Redis, job_id: str) -> Record:
    blob: Any = client.get(f"{Key.TASK}{job_id}")
    if blob is None:
        first: Any = client.xrange(f"{Key.EVENTS}{job_id}", "0-1", "0-1")
        blob = first[0][1][b"e"]
    events = [event for entry in streams.entries(client, job_id) for event in entry.events]
    return Record(decode_accepted(blob), events)
