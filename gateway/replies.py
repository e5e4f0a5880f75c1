"""The reader: one greenlet a process that takes in the events of all jobs this process waits for.

Workers append a job's events to its own stream and to the *reply stream* of the gateway process that waits. The
reply stream is ours to create and to renew; workers never create one, so that it lapses with its gateway. Its
entries carry the first and last sequence number of their events: where one is missing, the job's own stream has it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import gevent
from gevent.queue import Empty, SimpleQueue
from redis import Redis, ResponseError

from shared import streams
from shared.protocol import Delta, Done, Event, Failed, decode
from shared.store import Outage

log = logging.getLogger(__name__)

TTL = 60
RENEW = 5


class ClientGone(Exception):
    """The client closed its connection."""


class Mailbox:
    """Where the events of one job arrive, in order, each once."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.next = 1
        """Sequence number of the event that is due."""
        self.on_lost: Callable[[], None] | None = None
        """What to do when Redis knows nothing of the job, which was accepted."""
        self.last: Done | Failed | None = None
        """The last event, once it has been taken."""
        self.opened = time.monotonic()
        self.arrived: tuple[float, float] | None = None
        """When the first and the last piece of text arrived."""
        self._queue: SimpleQueue = SimpleQueue()

    def put(self, first: int, events: list[Event]) -> None:
        """Take in events numbered from `first`, which is not beyond `next`; drops what is there already."""
        for event in events[self.next - first :]:
            self._queue.put(event)
            if isinstance(event, Delta):
                now = time.monotonic()
                self.arrived = (self.arrived[0] if self.arrived else now, now)
            elif isinstance(event, Done | Failed):
                self.on_lost = None
        self.next = max(self.next, first + len(events))

    def leave(self) -> None:
        """The client is gone: whoever takes the next event learns it."""
        self._queue.put(ClientGone())

    def take(self, timeout: float | None) -> Event | None:
        """The next event; None when none came within `timeout` seconds. Raises ClientGone."""
        try:
            event = self._queue.get(timeout=timeout)
        except Empty:
            return None
        if isinstance(event, ClientGone):
            raise event
        taken: Event = event
        if isinstance(taken, Done | Failed):
            self.last = taken
        return taken

    def empty(self) -> bool:
        return bool(self._queue.empty())


class Replies:
    """All mailboxes of this process, and the reader that fills them."""

    def __init__(self, client: Redis) -> None:
        self.stream = f"iq:reply:{uuid4().hex}"
        self._client = client
        self._boxes: dict[str, list[Mailbox]] = {}
        self._cursor = "0-0"
        self._renewed = 0.0

    def start(self) -> None:
        gevent.spawn(self._loop)

    def open(self, job_id: str) -> Mailbox:
        """A mailbox for a job. Open it before the job is submitted, or its first events may come too early."""
        box = Mailbox(job_id)
        self._boxes.setdefault(job_id, []).append(box)
        return box

    def close(self, box: Mailbox) -> None:
        boxes = self._boxes[box.job_id]
        boxes.remove(box)
        if not boxes:
            del self._boxes[box.job_id]

    def _loop(self) -> None:
        healthy = True
        while True:
            try:
                self._renew()
                if not healthy:
                    self._catch_up()
                    healthy = True
                self._read()
            except Outage as exc:
                log.warning("waiting for redis: %s", exc)
                healthy, self._renewed = False, 0.0
                gevent.sleep(0.2)
            except Exception:  # without the reader every client of this process would wait for ever
                log.exception("reader")
                healthy = False
                gevent.sleep(0.2)

    def _renew(self) -> None:
        """Keep our stream alive and short. If it had lapsed, what came meanwhile is in the jobs' own streams."""
        if time.monotonic() - self._renewed < RENEW:
            return
        if self._client.expire(self.stream, TTL):
            self._client.xtrim(self.stream, minid=self._cursor)
        else:
            # XADD without NOMKSTREAM would leave an entry; a group is the one way to an empty stream.
            try:
                self._client.xgroup_create(self.stream, "reader", mkstream=True)
            except ResponseError as exc:
                if "BUSYGROUP" not in str(exc):  # the command was resent
                    raise
            self._client.expire(self.stream, TTL)
            self._cursor = "0-0"
            self._catch_up()
        self._renewed = time.monotonic()

    def _read(self) -> None:
        replies: Any = self._client.xread({self.stream: self._cursor}, count=1000, block=1000)
        for _, entries in replies or ():
            for entry_id, fields in entries:
                self._cursor = entry_id
                for box in self._boxes.get(fields[b"j"].decode(), ()):
                    self._deliver(box, int(fields[b"f"]), int(fields[b"l"]), fields[b"e"])

    def _deliver(self, box: Mailbox, first: int, last: int, blob: bytes) -> None:
        if first > box.next:
            self._fill(box)
        if last >= box.next:
            box.put(first, decode(blob))

    def _fill(self, box: Mailbox) -> None:
        """Read what a mailbox lacks from the job's own stream."""
        for first, events in streams.read_after(self._client, box.job_id, box.next - 1):
            box.put(first, events)

    def _catch_up(self) -> None:
        """Read what every mailbox lacks. A failover may have lost whole jobs: see `Mailbox.on_lost`."""
        for box in [box for boxes in self._boxes.values() for box in boxes]:
            self._fill(box)
            if box.on_lost and not self._client.exists(f"iq:job:{box.job_id}"):
                box.on_lost()
