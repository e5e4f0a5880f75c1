"""A job's stream: its whole record, numbered, from `Accepted` to the final event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from redis import Redis

from shared.codec import decode, decode_accepted
from shared.errors import JobNotFound
from shared.keys import Key
from shared.protocol import Accepted, Event

_PAGE = 250
"""Entries that are fetched at once."""
_SLICE = 100
"""Events that are decoded at once: about 4 ms."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Events that an execution has sent at one time."""

    first: int
    """Number of the first one."""
    by: str
    """The execution; `0` where it was one of the scripts."""
    events: list[Event | None]
    """None for those that this version does not know."""

    @property
    def last(self) -> int:
        """Number of the last one."""
        return self.first + len(self.events) - 1


def accepted(client: Redis, job_id: str) -> Accepted:
    """What the job is to compute. Raises JobNotFound, NotUnderstood."""
    task: Any = client.get(f"{Key.TASK}{job_id}")  # moved into the stream by the first event
    if task is None:
        first: Any = client.xrange(f"{Key.EVENTS}{job_id}", "0-1", "0-1")
        if not first:
            raise JobNotFound(job_id)
        task = first[0][1][b"e"]
    return decode_accepted(task)


def entries(client: Redis, job_id: str, after: int = 0, pause: Callable[[], object] = lambda: None) -> Iterator[Entry]:
    """The entries that reach beyond the event number `after`. `pause` is called between slices of the work."""
    decoded = 0
    while True:
        page: Any = client.xrange(f"{Key.EVENTS}{job_id}", min=f"({after}-0" if after else "1-0", count=_PAGE)
        for _, fields in page:
            entry = Entry(int(fields[b"f"]), fields.get(b"x", b"").decode(), decode(fields[b"e"]))
            after = entry.last
            yield entry
            decoded += len(entry.events)
            if decoded >= _SLICE:
                decoded = 0
                pause()
        if len(page) < _PAGE:
            return


def writer(client: Redis, job_id: str, number: int) -> str | None:
    """The execution that wrote the event with this number; None when there is no such event."""
    found: Any = client.xrange(f"{Key.EVENTS}{job_id}", min=f"{number}-0", count=1)
    for _, fields in found:
        if int(fields[b"f"]) <= number:
            return str(fields.get(b"x", b"").decode())
    return None
