"""A batch on its way: from its file to its results. What is done is in its ledger, so anybody can go on at any time.

Whatever goes wrong on the way, Redis or the archive being away, it is begun anew from there: jobs that run go on, and
what has ended and was not written down is read once more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, islice

from gevent.event import Event
from msgspec.structs import replace

from gateway import files
from gateway.archive.archive import Archive
from gateway.archive.thing import Thing, ThingKind
from gateway.batches.batch import Batch, BatchError, BatchStatus
from gateway.batches.closing import Closing
from gateway.batches.flight import Flight
from gateway.batches.flights import Flights
from gateway.batches.ledger import BatchLedger
from gateway.batches.lines import BatchLine, Inspection, read_line
from gateway.batches.numbers import BatchNumbers
from gateway.batches.results import CANCELLED, EXPIRED, line_id, unanswered
from gateway.batches.untold import Broken, UntoldLines, with_room
from gateway.batches.window import MOST_IN_FLIGHT
from gateway.slices import give_way
from shared.errors import ArchiveDamaged, ArchiveFull, InvalidRequest, NotStored

log = logging.getLogger(__name__)

_SOONEST, _LATEST = 0.02, 0.5
"""Seconds between two looks at what is in flight, as lines end fast or slowly."""
_LAST_LOOK = 10.0
"""Seconds in which lines that were cancelled end."""


class Feed:
    """Of one batch, by one process."""

    def __init__(self, archive: Archive, thing: Thing, make: Callable[[Batch], Flights], numbers: BatchNumbers) -> None:
        """`make` makes what has its lines computed, or raises Broken."""
        self.owner = thing.owner
        self.orphan = False
        """The keys do not name its owner, and so it is to fail."""
        self.stopped = False
        """It is to end soon: another one goes on."""
        self.news = Event()
        """Set where somebody has changed the batch, or `stopped`."""
        self.idle = False
        """There is no room for its lines, or no worker."""
        self._again = True
        """Its lines may have been fed before."""
        self._archive = archive
        self._thing = thing
        self._make = make
        self._ledger = BatchLedger(archive, thing)
        self._closing = Closing(archive, thing, self._ledger)
        self._untold = UntoldLines(self._ledger, numbers)

    def run(self) -> None:
        """To its end, unless `stopped`. Raises what keeps it from going on now."""
        batch = self._now()
        if batch.status.final:
            return
        if batch.output_file_id or batch.error_file_id:  # all but its end is there
            self._closing.finish(_final(batch), batch.errors)
        elif batch.status is BatchStatus.VALIDATING and not self._validate(batch):
            return
        elif batch.status is BatchStatus.CANCELLING and not batch.in_progress_at:
            self._closing.finish(BatchStatus.CANCELLED)
        else:
            broken = self._feed()
            if not (self.stopped or (batch := self._count()).status.final):
                self._end(batch, broken)

    def _validate(self, batch: Batch) -> bool:
        """Look at all lines; whether they make a batch."""
        inspection = Inspection(batch.endpoint)
        try:
            for raw in self._raw(batch):
                inspection.look(raw)
                give_way()
                if inspection.over or self.stopped:
                    break
            inspection.finish()
        except InvalidRequest as exc:
            inspection.errors.append(BatchError(exc.code, exc.message))
        except Broken as exc:
            inspection.errors.append(exc.error)
        if self.stopped:
            return False
        self._again = False
        if inspection.errors:
            self._closing.finish(BatchStatus.FAILED, inspection.errors)
            return False

        def begin(found: Batch) -> Batch:
            status = BatchStatus.IN_PROGRESS if found.status is BatchStatus.VALIDATING else found.status
            told = {"total": inspection.total, "model": inspection.model, "in_progress_at": int(time.time())}
            return replace(found, status=status, **told)

        self._closing.change(begin)
        return True

    def _feed(self) -> Broken | None:
        """Until all lines have ended, or no further one is to begin; what has broken it."""
        try:
            with_room(self._ledger.open)
            if (batch := self._count()).status.final:  # somebody else has ended it just now
                self._ledger.remove()
                return None
            flights = self._make(batch)
        except Broken as exc:
            return exc
        try:
            self._fly(flights, batch)
        except Broken as exc:
            flights.recall(iter(()))
            with suppress(Broken):
                self._take_in(flights)
            return exc
        return None

    def _fly(self, flights: Flights, batch: Batch) -> None:
        lines, pause = self._left(batch), _SOONEST
        while not (self.stopped or batch.status.final):
            if batch.status is BatchStatus.CANCELLING or time.time() >= batch.due:
                self._write(flights)
                flights.recall(islice(self._left(batch), 2 * MOST_IN_FLIGHT))
                self._take_in(flights)
                return
            self._untold.note(flights.feed(lines, batch.due))
            self._untold.note(ends := flights.gather())
            self.idle = flights.idle
            over = flights.exhausted and not flights
            if over or self._untold.due(batch.in_progress_at):
                batch = self._write(flights)
            if over:
                self._ledger.load()  # an index in Redis may have lost some of it
                rest = self._left(batch)
                if len(self._ledger.told) >= batch.total or not (first := next(rest, None)):
                    return
                log.warning("%s goes on at line %d: its end was lost", self._thing.id, first.number)
                first.again = self._again = True
                lines = chain([first], rest)
            pause = max(_SOONEST, pause / 2) if ends else min(_LATEST, pause * 1.5)
            if self.news.wait(pause):
                self.news.clear()
                batch = self._now()

    def _take_in(self, flights: Flights) -> None:
        """What was called back."""
        end = time.monotonic() + _LAST_LOOK
        while flights and time.monotonic() < end:
            self._untold.note(flights.gather())
            time.sleep(_SOONEST)
        self._write(flights)

    def _write(self, flights: Flights) -> Batch:
        """Write down what has ended; the batch as it is then. Records stay until it is sure that this has told them."""
        if ends := self._untold.write():
            self._ledger.check()
        found = self._count()
        flights.forget(ends)
        return found

    def _end(self, batch: Batch, broken: Broken | None) -> None:
        if not broken and batch.status is BatchStatus.IN_PROGRESS and batch.completed + batch.failed >= batch.total:
            finalizing = {"status": BatchStatus.FINALIZING, "finalizing_at": int(time.time())}
            batch = self._closing.change(lambda found: replace(found, **finalizing))
        status = BatchStatus.FAILED if broken else _final(batch)
        why = CANCELLED if batch.status is BatchStatus.CANCELLING else EXPIRED
        errors = (broken.error,) if broken else ()
        try:
            with_room(lambda: self._closing.file(() if errors else self._unanswered(batch, why), errors))
        except Broken as exc:  # there is no room, or the file with the rest of the lines is gone
            status, errors = BatchStatus.FAILED, errors or (exc.error,)
            with suppress(Broken, ArchiveFull):
                self._closing.file((), errors)
        self._closing.finish(status, errors)
        log.info("%s has ended", self._thing.id)

    def _unanswered(self, batch: Batch, why: tuple[str, str]) -> Iterator[bytes]:
        for flight in self._left(batch):
            yield unanswered(line_id(self._thing.id, flight.number), flight.custom_id, *why)

    def _count(self) -> Batch:
        counts = self._ledger.counts
        return self._closing.change(lambda found: replace(found, **counts))

    def _now(self) -> Batch:
        return Batch.of(self._archive.find(self._thing.owner, ThingKind.BATCH, self._thing.id))

    def _left(self, batch: Batch) -> Iterator[Flight]:
        """The lines that are not told, as far as is known when they come. Raises Broken."""
        for number, raw in enumerate(self._raw(batch), 1):
            if number in self._ledger.told or not raw.strip():
                continue
            found = read_line(raw, number, batch.endpoint)
            if isinstance(found, BatchLine):
                yield Flight(number, found.custom_id, found.body, again=self._again)
            give_way()

    def _raw(self, batch: Batch) -> Iterator[bytes]:
        try:
            yield from files.lines(self._thing.owner, batch.input_file_id)
        except NotStored as exc:
            message = f"The batch's file {batch.input_file_id!r} is not there any more."
            raise Broken("file_not_found", message) from exc
        except ArchiveDamaged as exc:
            raise Broken(exc.code, exc.message) from exc


def _final(batch: Batch) -> BatchStatus:
    """How it ends once nothing more is to be computed. Raises ArchiveDamaged where nobody knows why that is so."""
    if batch.errors:
        return BatchStatus.FAILED
    if batch.status is BatchStatus.CANCELLING:
        return BatchStatus.CANCELLED
    if batch.completed + batch.failed >= batch.total:
        return BatchStatus.COMPLETED
    if time.time() < batch.due:
        raise ArchiveDamaged("The index has forgotten that the batch was cancelled.")
    return BatchStatus.EXPIRED
