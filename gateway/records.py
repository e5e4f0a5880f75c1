"""The records of jobs, read into mailboxes: each job's own stream, or what is stored of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import gevent
from gevent.lock import Semaphore
from redis import Redis

from gateway.agreement import Conflict
from gateway.mailbox import Mailbox
from gateway.slices import give_way
from shared import streams
from shared.errors import InferqError, JobNotFound, WorkerLost
from shared.store import Outage
from shared.streams import Entry
from shared.tickets import Tickets

log = logging.getLogger(__name__)

_READERS = 8
"""Records that are read at one time: the others have their turn after a slice, and so has who needs Redis."""
_STORED = "stored"
"""The execution that has written what is stored, as far as a mailbox knows."""
_TOLD = 50
"""Events of it that are told at once."""
_MOST_RESTARTS = 3
"""Of an answer that nobody has read in part; a record that disagrees with itself would go on for ever."""


class Records:
    """Of one process."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._tickets = Tickets(client)
        self._filling: dict[Mailbox, bool] = {}
        """Those that are being filled, and whether something came meanwhile."""
        self._turns = Semaphore(_READERS)

    def fill(self, box: Mailbox) -> None:
        """Have what a mailbox lacks read from the job's own stream, as far as it has room.

        Does not wait for it: the record may be long.
        """
        if box.full:
            box.behind = True
        elif self.fills(box):
            self._filling[box] = True
        else:
            self._filling[box] = False
            gevent.spawn(self._fill, box)

    def fills(self, box: Mailbox) -> bool:
        """Whether it is being filled."""
        return box in self._filling

    def _fill(self, box: Mailbox) -> None:
        try:
            more = True
            while more and not (box.ended or box.closed):
                self._filling[box] = False
                with self._turns:
                    more = self._read_record(box) or self._filling[box]
        except Outage:
            box.heard = 0.0  # it will be compared with its ticket
        except Exception:  # nobody waits for this greenlet: its client would never hear of it
            log.exception("the record of %s cannot be read", box.job_id)
            box.fail(InferqError("The gateway cannot read the answer; its log says why."))
        finally:
            del self._filling[box]

    def _read_record(self, box: Mailbox) -> bool:
        """Take in the record after what has arrived, or from its beginning, until the mailbox is full.

        True: it has to be read once more.
        """
        over, (number, by) = box.over, box.arrived_at
        try:
            if number and self._writer(box, number) != by:
                number = 0
                box.realign()
            for entry in self._entries(box, number):
                box.put(entry.first, entry.by, entry.events)
                if box.full or box.closed:
                    box.behind = box.full
                    return False
        except Conflict:
            if box.parts or box.restarts == _MOST_RESTARTS:
                lost = "The worker died after it had sent a part of the answer, which came out another way now."
                box.fail(WorkerLost(lost))
                return False
            box.start_over()
            return True
        if over and not box.doubted:
            if not self._is_over(box):  # Redis has come back without its last second meanwhile
                box.over, box.heard = False, 0.0
                return False
            box.fail(WorkerLost("The end of the answer is not there any more: the job ended too long ago."))
        return False

    def _is_over(self, box: Mailbox) -> bool:
        """Whether the job has ended, also where it is gone."""
        try:
            return self._tickets.get(box.job_id).state.final
        except JobNotFound:
            return True

    def _writer(self, box: Mailbox, number: int) -> str | None:
        return _STORED if box.stored else streams.writer(self._client, box.job_id, number)

    def _entries(self, box: Mailbox, after: int) -> Iterator[Entry]:
        """The rest of the record, or of what is stored of it."""
        if not box.stored:
            yield from streams.entries(self._client, box.job_id, after, pause=self._pause)
        for start in range(0, len(box.stored), _TOLD):
            yield Entry(start + 1, _STORED, list(box.stored[start : start + _TOLD]), b"")

    def _pause(self) -> None:
        """Between two slices of a record."""
        self._turns.release()
        give_way()
        self._turns.acquire()
