"""The lines of one batch that are in flight: their jobs wait or run, or have ended and are not told yet."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator

from gateway.batches.batch import Batch
from gateway.batches.ending import LineEnd
from gateway.batches.endpoints import ENDPOINTS
from gateway.batches.flight import Flight
from gateway.batches.line_jobs import MOST_ATTEMPTS, LineJobs, job_id_of
from gateway.batches.telling import refuse, tell
from gateway.batches.untold import MOST_UNTOLD_BYTES
from gateway.batches.window import LARGEST_WAITING, MOST_BYTES_IN_FLIGHT, FlightWindow
from gateway.keys import Owner
from gateway.recordings import KINDS, Recordings
from gateway.schemas.outcomes import outcome
from gateway.slices import give_way
from shared.errors import (
    ArchiveDamaged,
    DeadlineExceeded,
    InferqError,
    JobCancelled,
    JobNotFound,
    ModelUnavailable,
    NotStored,
    NoWorker,
)
from shared.protocol import State

log = logging.getLogger(__name__)

MOST_REFUSED = 256
"""Lines that are refused before it is looked at what else has ended."""
MOST_ASIDE = 64
"""Lines of a batch that wait for their models, while those behind them go on."""
_SOON, _LATE = 0.2, 3.0
"""Seconds after which it is tried again to feed a line for which there was no room, or no worker; each time later."""


class Flights:
    """Of one batch, for one who feeds it. Raises StoreUnavailable, ArchiveUnavailable, and why a large line has to wait
    where nothing else is in flight: whoever feeds it is to begin anew."""

    def __init__(self, batch_id: str, batch: Batch, owner: Owner, jobs: LineJobs, recordings: Recordings) -> None:
        self.owner = owner
        self.exhausted = False
        """There are no further lines."""
        self._batch_id = batch_id
        self._endpoint = batch.endpoint
        self._begun_by = batch.traceparent
        self._wire = ENDPOINTS[batch.endpoint]
        self._jobs = jobs
        self._recordings = recordings
        self._window = FlightWindow()
        self._flying = dict[int, Flight]()
        self._size = 0
        self._again = deque[Flight]()
        """To be fed before all others."""
        self._not_before, self._pause = 0.0, _SOON
        """When it is tried again to feed, and for how long it is not then."""
        self._aside = list[Flight]()
        """Whose model is not there."""
        self._aside_until, self._aside_pause = 0.0, _SOON
        """The same for these."""
        self._recalled = False
        self._kept = list[str]()
        """Jobs that have ended, and whose answers are to be stored by themselves."""

    def __bool__(self) -> bool:
        return bool(self._flying or self._again or self._aside)

    @property
    def idle(self) -> bool:
        """Nothing is in flight, and nothing can be at the moment."""
        return bool(self._again or self._aside) and not self._flying

    def feed(self, lines: Iterator[Flight], due: float) -> list[LineEnd]:
        """Have as many more computed as there is room for; those that are refused have ended."""
        ends, self.exhausted = list[LineEnd](), False
        self._try_aside()
        while time.monotonic() >= self._not_before and len(ends) < MOST_REFUSED and (flight := self._next(lines)):
            if not self._window.has_room(len(self._flying), self._size, len(flight.body)):
                self._again.appendleft(flight)
                break
            if end := self._begin(flight, due):
                ends.append(end)
            give_way()
        return ends

    def gather(self) -> list[LineEnd]:
        """Those that have ended since the last time; some of them, where their answers are large."""
        ends, ended, waiting, size = list[LineEnd](), 0, 0, 0
        flights = list(self._flying.values())
        states = self._jobs.states([self._id(flight) for flight in flights]) if flights else []
        for flight, state in zip(flights, states, strict=True):
            if state is State.QUEUED:
                waiting += 1
            elif state is None:
                if self._recalled and (end := self._stored(flight)):
                    ends.append(end)
                self._land(flight, again=True)
            elif state.final and size < MOST_UNTOLD_BYTES:
                ended += 1
                if end := self._end_of(flight):
                    ends.append(end)
                    size += len(end.text)
                give_way()
        if self._kept:  # before anybody is told: nobody computes them again then, whatever Redis forgets
            self._recordings.on_end(*self._kept)
            self._kept.clear()
        if len(flights) >= self._window.size or waiting:
            self._window.adapt(len(self._flying) - waiting, waiting, ended)
        return ends

    def recall(self, lines: Iterator[Flight]) -> None:
        """Feed no further ones, and cancel those that wait or run, also of who has fed these lines before."""
        self._recalled = True
        self._again.clear()
        self._aside.clear()
        for flight in lines:
            if flight.number not in self._flying:
                self._take_off(flight)
        self._jobs.cancel([self._id(flight) for flight in self._flying.values()])

    def forget(self, ends: list[LineEnd]) -> None:
        """These are told for good."""
        self._jobs.forget([end.job_id for end in ends if end.job_id])

    def _try_aside(self) -> None:
        """Have those tried once more that wait for their models, if it is time."""
        now = time.monotonic()
        if not self._aside:
            self._aside_until, self._aside_pause = now + _SOON, _SOON
        elif now >= self._aside_until:
            self._aside_pause = min(_LATE, 2 * self._aside_pause)
            self._aside_until = now + self._aside_pause
            self._again.extend(self._aside)
            self._aside.clear()

    def _next(self, lines: Iterator[Flight]) -> Flight | None:
        if self._again:
            return self._again.popleft()
        if len(self._aside) >= MOST_ASIDE or sum(len(each.body) for each in self._aside) >= MOST_BYTES_IN_FLIGHT:
            return None
        found = next(lines, None)
        self.exhausted = found is None
        return found

    def _begin(self, flight: Flight, due: float) -> LineEnd | None:
        if flight.again and (end := self._stored(flight)):
            return end
        try:
            self._jobs.submit(self._id(flight), self._endpoint, flight.body, self.owner, due, self._begun_by)
        except InferqError as exc:
            found = outcome(exc.code)
            if not (found.retry and found.status in (429, 503)):
                return self._refuse(flight, exc)
            if len(flight.body) > LARGEST_WAITING and not self._flying:
                raise
            if isinstance(exc, (NoWorker, ModelUnavailable)):
                self._aside.append(flight)
                return None
            self._again.appendleft(flight)
            self._not_before = time.monotonic() + self._pause
            self._pause = min(_LATE, 2 * self._pause)
            return None
        except Exception:  # whatever it is, it concerns this line alone
            log.exception("line %d of %s", flight.number, self._batch_id)
            return self._refuse(flight, InferqError("The gateway failed on this request; its log says why."))
        self._pause = _SOON
        self._take_off(flight)
        return None

    def _end_of(self, flight: Flight) -> LineEnd | None:
        """How a job has ended; None where the line is to be fed again, or was called back."""
        job_id = self._id(flight)
        end: LineEnd | InferqError
        try:
            accepted, events, size = self._jobs.read(job_id)
            if accepted.options.kept:
                self._kept.append(job_id)
            end = tell(self._batch_id, flight.number, flight.custom_id, job_id, accepted, events, size)
        except JobNotFound:
            flight.attempt += 1
            self._land(flight, again=True)
            return None
        except InferqError as exc:
            if outcome(exc.code).status == 503 and exc.code != "other_version":
                raise
            end = exc
        except Exception:  # whatever it is, it concerns this line alone
            log.exception("line %d of %s", flight.number, self._batch_id)
            end = InferqError("The gateway cannot read the answer; its log says why.")
        if isinstance(end, InferqError) and end.code == JobCancelled.code:
            end = self._stored(flight) or end
        again = self._is_tried_again(flight, end)
        flight.attempt += again
        self._land(flight, again=again)
        return None if again else self._told(flight, end)

    def _is_tried_again(self, flight: Flight, end: LineEnd | InferqError) -> bool:
        return isinstance(end, InferqError) and outcome(end.code).retry and flight.attempt + 1 < MOST_ATTEMPTS

    def _told(self, flight: Flight, end: LineEnd | InferqError) -> LineEnd | None:
        """What is told of a line that is not tried again; None where the batch's end says why it has no answer."""
        if isinstance(end, LineEnd):
            return end
        unanswered = end.code == DeadlineExceeded.code or (self._recalled and end.code == JobCancelled.code)
        return None if unanswered else self._refuse(flight, end)

    def _refuse(self, flight: Flight, error: InferqError) -> LineEnd:
        job_id = self._id(flight)
        request_id = "req_" + job_id.removeprefix(self._wire.id_prefix)
        return refuse(self._batch_id, flight.number, flight.custom_id, job_id, self._wire, error, request_id)

    def _stored(self, flight: Flight) -> LineEnd | None:
        """Its answer, where that is stored by itself and Redis has lost the job."""
        kind, names = KINDS.get(self._wire.name), (self._batch_id, flight.number, flight.custom_id)
        while kind:
            job_id = self._id(flight)
            try:
                found = self._recordings.stored(kind, job_id, self.owner.name)
            except NotStored:
                break
            except ArchiveDamaged as exc:
                return self._refuse(flight, exc)
            end = tell(*names, job_id, found.accepted, found.events, 1 << 16)
            if not self._is_tried_again(flight, end):
                return self._told(flight, end)
            flight.attempt += 1
        return None

    def _take_off(self, flight: Flight) -> None:
        self._flying[flight.number] = flight
        self._size += len(flight.body)

    def _land(self, flight: Flight, *, again: bool) -> None:
        del self._flying[flight.number]
        self._size -= len(flight.body)
        if again and not self._recalled:
            flight.again = True
            self._again.append(flight)

    def _id(self, flight: Flight) -> str:
        return job_id_of(self._batch_id, self._endpoint, flight.number, flight.attempt)
