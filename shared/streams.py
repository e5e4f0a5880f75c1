"""A job's stream: its whole record, numbered, from `Accepted` to the final event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from redis import Redis

from shared.codec import decode, decode_accepted, decode_given
from shared.errors import JobNotFound
from shared.keys import Key
from shared.protocol import Accepted, Event

LARGEST_PAGE = 262_144
"""Bytes that are fetched at once, as far as the entries before tell how large the next ones are."""
_FEWEST, _MOST = 4, 250
"""Entries that are fetched at once: of the first page, and of any."""
_SLICE = 100
"""Events that are decoded at once: about 4 ms."""
_SLICE_BYTES = 65_536
"""The same for events that are large."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Events that an execution has sent at one time."""

    first: int
    """Number of the first one."""
    by: str
    """The execution; `0` where it was one of the scripts."""
    events: list[Event | None]
    """None for those that this version does not know."""
    blob: bytes
    """The same as it is in Redis: all of them, as one JSON array."""

    @property
    def last(self) -> int:
        """Number of the last one."""
        return self.first + len(self.events) - 1


def accepted(client: Redis, job_id: str) -> Accepted:
    """What an answer needs of what was accepted: its head, `Accepted.head`. Raises JobNotFound, NotUnderstood.

    Of a job that release 0.2.0 has accepted only the whole is there: in a key of its own, or in its stream.
    """
    blob: Any = client.hget(f"{Key.JOB}{job_id}", "head") or client.get(f"{Key.TASK}{job_id}")
    if blob is None:
        first: Any = client.xrange(f"{Key.EVENTS}{job_id}", "0-1", "0-1")
        if not first:
            raise JobNotFound(job_id)
        blob = first[0][1][b"e"]
    return decode_accepted(blob).head()


def request(client: Redis, job_id: str, most: int) -> Accepted | None:
    """What was accepted, but for what it was `given`; None where that is gone, as it is after the end, or the two have
    more than `most` bytes."""
    keys = (f"{Key.TASK}{job_id}", f"{Key.GIVEN}{job_id}")
    if sum(map(client.strlen, keys)) > most:
        return None
    blob: Any = client.get(keys[0])
    return decode_accepted(blob) if blob else None


def given(client: Redis, job_id: str) -> tuple[Any, ...]:
    """What is to be stored with an answer, see `Kept`; nothing where it is not to be, or is."""
    blob: Any = client.get(f"{Key.GIVEN}{job_id}")
    return decode_given(blob) if blob else ()


def entries(client: Redis, job_id: str, after: int = 0, pause: Callable[[], object] = lambda: None) -> Iterator[Entry]:
    """The entries that reach beyond the event number `after`. `pause` is called between slices of the work."""
    count, events, size = _FEWEST, 0, 0
    while True:
        page: Any = client.xrange(f"{Key.EVENTS}{job_id}", min=f"({after}-0" if after else "1-0", count=count)
        fetched = 1
        for _, fields in page:
            blob = fields[b"e"]
            entry = Entry(int(fields[b"f"]), fields.get(b"x", b"").decode(), decode(blob), blob)
            after = entry.last
            yield entry
            fetched += len(blob)
            events += len(entry.events)
            size += len(blob)
            if events >= _SLICE or size >= _SLICE_BYTES:
                events = size = 0
                pause()
        if len(page) < count:
            return
        count = max(1, min(_MOST, 2 * count, count * LARGEST_PAGE // fetched))


def writer(client: Redis, job_id: str, number: int) -> str | None:
    """The execution that wrote the event with this number; None when there is no such event."""
    found: Any = client.xrange(f"{Key.EVENTS}{job_id}", min=f"{number}-0", count=1)
    for _, fields in found:
        if int(fields[b"f"]) <= number:
            return str(fields.get(b"x", b"").decode())
    return None
