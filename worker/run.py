"""The computation of one execution, whatever kind of task it is: slots that take part, errors, the end."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec.structs import replace

from shared import abilities, disturbance, logs
from shared.errors import HostDied, HostUnavailable, InferqError
from shared.protocol import Done, Event, Failed
from shared.store import Outage
from shared.tickets import Tickets
from worker.choices import Diverged
from worker.engines import Engine
from worker.execution import Execution
from worker.publish import PAUSE
from worker.quarantine import Quarantine

log = logging.getLogger(__name__)

T = TypeVar("T")
Part = TypeVar("Part")

_FINAL = ("WRONGTYPE", "ERR")
"""What an answer of Redis begins with that is none of an outage."""


class Runner(ABC, Generic[Part]):
    """What all runners have in common: a task is computed in parts, by as many slots as are free.

    Every slot that takes part calls `enter`, then `work`, which takes one part after the other. Nobody waits for the
    others: the last to leave ends the job.
    """

    def __init__(
        self,
        engine: Engine,
        quarantine: Quarantine,
        execution: Execution,
        publish: Callable[[Execution, Event], None],
        tickets: Tickets,
    ) -> None:
        self.execution = execution
        self._tickets = tickets
        self._engine = engine
        self._quarantine = quarantine
        self._publish = publish
        self._slots = 0
        self._error: InferqError | None = None
        self._lock = threading.Lock()

    @property
    @abstractmethod
    def width(self) -> int:
        """How many slots it could use."""

    @abstractmethod
    def restore(self) -> None:
        """Take in what earlier executions have sent of the answer."""

    @abstractmethod
    def _next(self) -> Part | None:
        """A part that nobody has computed. Called by one slot at a time."""

    @abstractmethod
    def _compute(self, part: Part) -> None:
        """Compute a part, anew or from where it was left. Raises InferqError."""

    @abstractmethod
    def _finish(self) -> Done:
        """All parts are computed: send what has waited for that, then say how the job ends. Raises InferqError."""

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
        """Compute parts until there are no more, or one has failed."""
        logs.bind(**self.execution.names)
        try:
            abilities.check(self.execution.accepted.task, self._engine.card)
            while self._error is None and (part := self._take()) is not None:
                self._answer(part)
        except InferqError as exc:
            self._fail(exc)
        except Exception:  # a fault of ours must end the job, not the slot
            log.exception("the job failed")
            self._fail(InferqError("The worker failed unexpectedly."))
        finally:
            self.leave()

    def _take(self) -> Part | None:
        with self._lock:
            return self._next()

    def _answer(self, part: Part) -> None:
        """Compute a part; if its engine host dies, go on alone, and fail when that one dies too."""
        try:
            with self._quarantine.together(self.execution):
                self._compute(part)
        except HostDied as exc:
            log.warning("going on alone: %s", exc)
            with self._quarantine.alone(self.execution):
                self._compute(part)

    def _tell(self, event: Event) -> None:
        self._publish(self.execution, event)

    def _fail(self, error: InferqError) -> None:
        with self._lock:
            self._error = self._error or error
        self.execution.cancel()  # the other slots need not go on

    def _end(self) -> None:
        """Tell the end, unless it is not ours to tell: the job was fenced, or handed back."""
        execution = self.execution
        if execution.fenced or execution.handed_back:
            return
        if execution.preempted:
            log.info("handed back for a better job", extra=execution.names)
            execution.hand_back()
            model = execution.accepted.task.model
            patiently(lambda: self._tickets.release(model, [(execution.job_id, execution.id)]))
            return
        try:
            if self._error:
                raise self._error
            now, part = divmod(time.time_ns(), 10**9)
            self._tell(replace(self._finish(), ended=now, nanoseconds=part))
        except HostUnavailable as error:  # nothing is wrong with the job; another worker may do better
            give_back(self._tickets, execution, error)
        except Diverged as error:
            self._start_over(error)
        except InferqError as error:
            if error.words:
                log.error("the job failed: %s", error, extra=execution.names)
            self._tell(Failed(error.code, error.public, error.param))

    def _start_over(self, error: Diverged) -> None:
        """Have the job computed anew, if nobody has read a part of its answer."""
        execution, model = self.execution, self.execution.accepted.task.model
        if patiently(lambda: self._tickets.restart(model, execution.job_id, execution.id)):
            log.warning("nobody has read a part of it: it starts over", extra=execution.names)
            execution.hand_back()
        else:
            self._tell(Failed(error.code, error.message, error.param))


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
            answer = call()
        except Outage as exc:
            if str(exc).startswith(_FINAL):
                raise
            disturbance.redis.fail(f"it is waited for: {exc}")
            time.sleep(PAUSE)
        else:
            disturbance.redis.end()
            return answer
