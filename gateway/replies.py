"""The reader: one loop a process that takes in the events of all jobs that are waited for in it.

Workers append a job's events to its own stream and to the *reply stream* of the gateway process that waits. The
reply stream is ours to create and to renew; workers never create one, so that it lapses with its gateway. It is a
hurry, never the truth: where its entries do not follow each other, the job's own stream is read, and reconcile.py finds
what none of them told.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any
from uuid import uuid4

from msgspec.msgpack import Decoder
from redis import Redis

from gateway.agreement import Conflict
from gateway.mailbox import EndBox, Mailbox
from gateway.records import Records
from gateway.slices import LONGEST_SLICE, give_way
from shared import registry
from shared.codec import decode
from shared.config import ConfigError
from shared.keys import Key
from shared.loops import Loops
from shared.registry import GATEWAY_TTL, HEARTBEAT, GatewayProcess
from shared.scripts import script
from shared.store import Line
from shared.version import VERSION

log = logging.getLogger(__name__)

_BATCH = 200
"""Entries that are read at once."""
_News = tuple[str, int, int, str, bytes | str]
"""Of a job: its id, the numbers of the first and the last event, the execution, and the encoded events; nothing where
these are large."""
_UNPACKER = Decoder(list[tuple[str, int, int, str, str]])


class Replies:
    """All mailboxes of this process, and the reader that fills them."""

    def __init__(self, client: Redis, loops: Loops, lease: float) -> None:
        """`lease` is in seconds; it has to be that of all who share this Redis."""
        self.stream = f"{Key.REPLY}{uuid4().hex}"
        self._client = client
        self._loops = loops
        self._lease_ms = int(lease * 1000)
        self._listen = script(client, "listen")
        self._me = GatewayProcess(self.stream, socket.gethostname(), os.getpid(), int(time.time()), version=VERSION)
        self._boxes: dict[str, list[Mailbox]] = {}
        self._records = Records(client)
        self._cursor = "0-0"
        self._renewed = 0.0
        self._sound = True
        self.trouble = ""
        """Why this process may not take part at all."""

    @cached_property
    def _line(self) -> Line:
        return Line(self._client)

    def start(self) -> None:
        self._loops.start("reader", self._step)

    def open(self, job_id: str, *, visitor: str = "", parts: bool = False) -> Mailbox:
        """A mailbox for a job. Open it before the job is submitted, or its first events may come too early."""
        return self._add(Mailbox(job_id, visitor=visitor, parts=parts))

    def open_for_end(self, job_id: str) -> Mailbox:
        return self._add(EndBox(job_id))

    def _add(self, box: Mailbox) -> Mailbox:
        box.refill = self.fill
        self._boxes.setdefault(box.job_id, []).append(box)
        return box

    def close(self, box: Mailbox) -> None:
        box.closed = True
        box.tell = None
        box.restore = None  # it holds the request, and the mailbox: neither shall wait for the garbage collector
        boxes = self._boxes[box.job_id]
        boxes.remove(box)
        if not boxes:
            del self._boxes[box.job_id]

    def open_boxes(self) -> Iterator[Mailbox]:
        """All of them; take them before anything else has its turn."""
        return (box for boxes in self._boxes.values() for box in boxes)

    def fill(self, box: Mailbox) -> None:
        """Have what a mailbox lacks read from the job's own stream; see `Records.fill`."""
        self._records.fill(box)

    def _step(self) -> None:
        sound, self._sound = self._sound, False
        if not sound:
            self._renewed = 0.0
        self._renew()
        if not sound:
            self._doubt()
        self._read()
        self._sound = True

    def _renew(self) -> None:
        """Say that we live, and keep our stream alive and short."""
        if time.monotonic() - self._renewed < HEARTBEAT:
            return
        there, last = self._listen(keys=[], args=[self.stream, GATEWAY_TTL, self._cursor])
        if not there or _moment(last) < _moment(self._cursor):
            self._cursor = last
            self._doubt()
        self._announce()
        self._renewed = time.monotonic()

    def _announce(self) -> None:
        """Raises ConfigError where the others on this Redis have another lease."""
        self.trouble = ""
        me = replace(self._me, reason=self._loops.trouble)
        try:
            registry.announce_gateway(self._client, me, self._lease_ms)
        except ConfigError as exc:
            self.trouble = exc.message
            raise

    def _doubt(self) -> None:
        """Something may have been missed: have every mailbox compared with its ticket soon."""
        for box in self.open_boxes():
            box.heard = 0.0

    def _read(self) -> None:
        replies: Any = self._line.execute_command(
            "XREAD", "COUNT", _BATCH, "BLOCK", 1000, "STREAMS", self.stream, self._cursor
        )
        begun = time.monotonic()
        for _, entries in replies or ():
            for entry_id, fields in entries:
                self._cursor = entry_id
                for job_id, first, last, by, blob in self._news(fields):
                    for box in tuple(self._boxes.get(job_id, ())):
                        self._deliver(box, first, last, by, blob)
                    if time.monotonic() - begun >= LONGEST_SLICE:
                        give_way()
                        begun = time.monotonic()

    def _news(self, fields: dict[bytes, bytes]) -> Sequence[_News]:
        """What an entry tells of jobs; nothing where only another version understands it."""
        try:
            if b"m" in fields:
                return _UNPACKER.decode(fields[b"m"])
            if b"j" in fields:  # a worker of release 0.1.0
                job_id, by = fields[b"j"].decode(), fields.get(b"x", b"").decode()
                return [(job_id, int(fields[b"f"]), int(fields[b"l"]), by, fields[b"e"])]
        except Exception:  # the jobs' own streams are sound
            log.exception("an entry of the reply stream cannot be read")
            self._doubt()
        return ()

    def _deliver(self, box: Mailbox, first: int, last: int, by: str, blob: bytes | str) -> None:
        if box.has(last, by):
            return
        if box.full or self._records.fills(box) or not (blob and box.follows(first, by)):
            self.fill(box)
            return
        try:
            box.put(first, by, decode(blob))
        except Conflict:
            self.fill(box)
        except Exception:  # it concerns this client only; and the record may be sound
            log.exception("an entry for %s", box.job_id)
            self.fill(box)


def _moment(entry_id: bytes | str) -> tuple[int, int]:
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    milliseconds, _, number = text.partition("-")
    return int(milliseconds), int(number)
