"""A job's whole record, as tests look at it."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

from shared import streams
from shared.protocol import Accepted, Event


@dataclass(frozen=True, slots=True)
class Record:
    """What it is to compute, and what it has emitted."""

    accepted: Accepted
    events: list[Event | None]


def read(client: Redis, job_id: str) -> Record:
    """Raises JobNotFound."""
    accepted = streams.accepted(client, job_id)
    return Record(accepted, [event for entry in streams.entries(client, job_id) for event in entry.events])
