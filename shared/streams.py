"""A job's stream: its whole record, numbered, from `Accepted` to the final event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis import Redis

from shared.errors import JobNotFound
from shared.protocol import Accepted, Event, decode


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that a job has emitted."""

    accepted: Accepted
    events: list[Event]
    """Event `i` has the sequence number `i + 1`."""


def read(client: Redis, job_id: str) -> Record:
    """The job's record so far. Raises JobNotFound."""
    entries: Any = client.xrange(f"iq:events:{job_id}")
    if not entries:
        raise JobNotFound(job_id)
    first, *rest = (event for _, fields in entries for event in decode(fields[b"e"]))
    return Record(first, rest)


def read_after(client: Redis, job_id: str, seq: int) -> list[tuple[int, list[Event]]]:
    """The entries that reach beyond sequence number `seq`, each with the number of its first event."""
    entries: Any = client.xrange(f"iq:events:{job_id}", min=f"({seq}-0" if seq else "1-0")
    return [(int(fields[b"f"]), decode(fields[b"e"])) for _, fields in entries]
