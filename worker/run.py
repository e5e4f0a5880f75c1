"""From task to events: what the slots do with a job."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar, assert_never

from msgspec.structs import replace

from shared import logs, streams
from shared.errors import HostDied, HostUnavailable, InferqError, JobCancelled
from shared.protocol import Delta, Done, Event, Failed, Progress, StartOver, State
from shared.store import Outage
from shared.tickets import Tickets
from worker.choices import Candidate, Diverged, best, judged, pass_over, restore, split, summed
from worker.engines import UNTOLD, Engine
from worker.execution import Execution, digest
from worker.publish import PAUSE
from worker.quarantine import Quarantine

log = logging.getLogger(__name__)

T = TypeVar("T")

_FINAL = ("WRONGTYPE", "ERR")
"""What an answer of Redis begins with that is none of an outage."""


class Run:
    """The computation of one execution.

    Every slot that takes part calls `enter`, then `work`, which takes one choice after the other. Nobody waits for the
    others: the last to leave ends the job.
    """

    def __init__(
        self,
        engine: Engine,
        quarantine: Quarantine,
        execution: Execution,
        publish: Callable[[Execution, Event, State | None], None],
        tickets: Tickets,
    ) -> None:
        self.execution = execution
        self._tickets = tickets
        self._engine = engine
        self._quarantine = quarantine
        self._publish = publish
        self._task = execution.accepted.task
        self._judged = judged(self._task)
        self._candidates = split(self._task)
        self._next = iter(self._candidates)
        self._sent: list[Delta] = []
        self._slots = 0
        self._error: InferqError | None = None
        self._lock = threading.Lock()

    @property
    def width(self) -> int:
        """How many slots it could use."""
        return len(self._candidates)

    def restore(self) -> None:
        """Take in what earlier executions have sent of the answer. Tokens of another model mean nothing to this one."""
        mine = digest(self.execution.id)
        for entry in streams.entries(self._tickets.client, self.execution.job_id):
            ours = digest(entry.by) == mine
            for event in entry.events:
                match event:
                    case StartOver():
                        self._sent.clear()
                    case Delta():
                        if self._task.token_ids and not ours:
                            self._error = Diverged()
                        self._sent.append(event if ours else replace(event, tokens=(UNTOLD,) * len(event.tokens)))
        if not self._judged:
            restore(self._candidates, self._sent)

    def enter(self) -> None:
        """A slot takes part from now on."""
        with self._lock:
            self._slots += 1

    def leave(self) -> None:
        """A slot takes part no longer. The last one ends the job."""
        with self._lock:
            self._slots -= 1
            last = self._slots == 0
        if last:
            self._end()

    def work(self) -> None:
        """Compute choices until there are no more, or one has failed."""
        logs.bind(**self.execution.names)
        try:
            while self._error is None and (candidate := self._take()):
                self._answer(candidate)
        except InferqError as exc:
            self._fail(exc)
        except Exception:  # a fault of ours must end the job, not the slot
            log.exception("the job failed")
            self._fail(InferqError("The worker failed unexpectedly."))
        finally:
            self.leave()

    def _take(self) -> Candidate | None:
        with self._lock:
            return next((candidate for candidate in self._next if not candidate.done), None)

    def _events(self, candidate: Candidate) -> Iterator[Event]:
        """What the engine has to say of a candidate, after what was sent already."""
        if not candidate.deltas:
            return self._engine.run(candidate.task, self.execution)
        if "continue" in self._engine.card.capabilities:
            return self._engine.run(candidate.task, self.execution, tuple(candidate.deltas))
        return pass_over(candidate.deltas, self._engine.run(candidate.task, self.execution))

    def _answer(self, candidate: Candidate) -> None:
        """Compute a candidate; if its engine host dies, go on alone, and fail when that one dies too."""
        try:
            with self._quarantine.together(self._cancelled):
                self._compute(candidate)
        except HostDied as exc:
            log.warning("going on alone: %s", exc)
            with self._quarantine.alone(self._cancelled):
                self._compute(candidate)

    def _cancelled(self) -> bool:
        return self.execution.cancelled

    def _compute(self, candidate: Candidate) -> None:
        last: Delta | None = None
        for event in self._events(candidate):
            if self.execution.cancelled:
                raise JobCancelled("The job was cancelled.")
            match event:
                case Progress():
                    candidate.progress = event
                    reports = [each.progress for each in self._candidates]
                    event = Progress(sum(r.done for r in reports), sum(r.total for r in reports))
                    self._publish(self.execution, event, None)
                case Delta() if self._judged:
                    candidate.deltas.append(event)
                case Delta(finish_reason=None):
                    candidate.deltas.append(event)
                    self._send(candidate, event)
                case Delta():
                    last = event  # goes out with the usage, which comes next
                case Done():
                    candidate.done = event
                    if last:
                        self._send(candidate, replace(last, usage=event.usage))
                case StartOver() | Failed():
                    raise AssertionError("engines raise their errors")
                case _:
                    assert_never(event)

    def _send(self, candidate: Candidate, delta: Delta) -> None:
        """Send a piece, and say where it belongs."""
        placed = replace(delta, index=candidate.index, offset=candidate.sent, logprob=None)
        candidate.sent += len(delta.text)
        self._publish(self.execution, placed, None)

    def _fail(self, error: InferqError) -> None:
        with self._lock:
            self._error = self._error or error
        self.execution.cancel()  # the other slots need not go on

    def _end(self) -> None:
        """Tell the end, unless it is not ours to tell: the job was fenced, or handed back."""
        execution = self.execution
        if execution.fenced or execution.handed_back:
            return
        if self._judged and not self._error:
            self._error = self._publish_best()
        match self._error:
            case None:
                self._publish(execution, summed(self._candidates), State.COMPLETED)
            case HostUnavailable() as error:  # nothing is wrong with the job; another worker may do better
                give_back(self._tickets, execution, error)
            case Diverged() if patiently(
                lambda: self._tickets.restart(self._task.model, execution.job_id, execution.id)
            ):
                log.warning("nobody has read a part of it: it starts over", extra=execution.names)
                execution.hand_back()
            case error:
                state = State.CANCELLED if isinstance(error, JobCancelled) else State.FAILED
                self._publish(execution, Failed(error.code, error.message, error.param), state)

    def _publish_best(self) -> InferqError | None:
        """Send the best candidates, as far as an earlier execution has not; what it has sent must be among them."""
        for index, delta in enumerate(best(self._candidates, self._task)):
            if index >= len(self._sent):
                self._publish(self.execution, delta, None)
            elif delta.text != self._sent[index].text:
                return Diverged()
        return None


def give_back(tickets: Tickets, execution: Execution, reason: InferqError) -> None:
    """Return a job that this worker cannot compute to the queue."""
    execution.hand_back()
    log.warning("cannot compute it, so it goes back to the queue: %s", reason, extra=execution.names)
    model = execution.accepted.task.model
    patiently(lambda: tickets.hand_back(model, execution.job_id, execution.id, reason))


def patiently(call: Callable[[], T]) -> T:
    """An outage of Redis is never a failure of the job. What it will never answer otherwise is raised."""
    while True:
        try:
            return call()
        except Outage as exc:
            if str(exc).startswith(_FINAL):
                raise
            log.warning("waiting for redis: %s", exc)
            time.sleep(PAUSE)
