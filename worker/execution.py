"""One attempt to run a job: what it has emitted, and whether anybody still wants it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from shared.cancellation import Cancellation
from shared.codec import decode_accepted
from shared.errors import InferqError
from shared.protocol import Accepted, Delta, Done, Event, Failed, State, final_state
from shared.ticket import Claim
from shared.tracing import trace_id
from worker.execution_spans import ExecutionSpans

_MOST = 256
"""Events that are sent at once: whoever reads them decodes them in one go."""
_MOST_LIKELIHOODS = 4096
"""Log probabilities in them, about 160 kB: after so many the next events wait."""


def digest(execution_id: str) -> str:
    """Of the model that an execution computes with; see `Execution.new_id`."""
    return execution_id.rpartition("-")[2]


class Execution(Cancellation):
    """Shared by its slot, which emits, the publisher, which sends, and the lease keeper, which may cancel or fence."""

    def __init__(
        self,
        execution_id: str,
        claim: Claim,
        on_over: Callable[[Execution], None] = lambda execution: None,
    ) -> None:
        """`on_over` is called once its end is stored, or it is not the job's any more.

        Raises NotUnderstood for what only another version can compute.
        """
        super().__init__()
        self.job_id = claim.job_id
        self.id = execution_id
        self.tries = claim.tries
        self.before = claim.seq
        """Events that earlier executions have emitted; ours are numbered from `before + 1`."""
        self.stored = claim.seq
        """Number of the last event that Redis has. Only the publisher writes it."""
        self.accepted: Accepted = decode_accepted(claim.accepted)
        self.names = {
            "request_id": self.accepted.request_id,
            "job_id": self.job_id,
            "model": self.accepted.task.model,
            "trace_id": trace_id(self.accepted.traceparent),
        }
        """What every line of the log about it carries."""
        self.fenced = False
        """Another execution owns the job: emit nothing, send nothing."""
        self.handed_back = False
        self.preempted = False
        """A better job waits: this one is to be handed back as soon as its slots have stopped."""
        self.continuable = False
        """Another execution could go on where this one stops."""
        self._waited = claim.waited
        self._spans = ExecutionSpans.begin(execution_id, claim, self.accepted)
        self._began = time.monotonic()
        self._events: list[Event] = []
        self._answered = False
        self._state: State | None = None
        self._spoiled = False
        self._on_over = on_over
        self._lock = threading.Lock()

    @staticmethod
    def new_id(digest: str) -> str:
        """A name. It tells which model computes: tokens of another one mean something else."""
        return f"{uuid4().hex[:16]}-{digest}"

    def fence(self) -> None:
        """Another execution owns the job now."""
        self.fenced = True
        self.cancel()
        self._on_over(self)

    def hand_back(self) -> None:
        """The job goes back to the queue, unfinished."""
        self.handed_back = True
        self.cancel()
        self._on_over(self)

    def preempt(self) -> bool:
        """Stop for a better job; False when what was computed would be lost by that."""
        if not (self.continuable or self.ending or self.stored == 0):
            return False
        if not self.ending:
            self.preempted = True
            self.cancel()
        return True

    def end(self) -> None:
        """Its last event is stored."""
        self._on_over(self)

    def add(self, event: Event) -> bool:
        """Keep an event to be sent. True if it is the first, the first text, or the last one."""
        with self._lock:
            if self._state is not None:
                return False  # it was spoiled
            first = not self._events or (isinstance(event, Delta) and not self._answered)
            if self._spans and first and isinstance(event, Delta):
                self._spans.answer()
            self._answered = self._answered or isinstance(event, Delta)
            self._events.append(event)
            self._state = final_state(event)
            if self._spans and self._state is not None:
                self._spans.stop()
            return first or self._state is not None

    def unsent(self) -> list[Event]:
        """The next events that Redis does not have yet.

        Sent events are kept too: a server that lost its tail in a failover asks for them again.
        """
        with self._lock:
            first = self.stored - self.before
            events, likelihoods = list[Event](), 0
            for event in self._events[first : first + _MOST]:
                events.append(event)
                likelihoods += event.likelihoods if isinstance(event, Delta) else 0
                if likelihoods >= _MOST_LIKELIHOODS:
                    break
            return events

    def spoil(self, error: InferqError) -> bool:
        """What is unsent cannot be sent: the job fails instead. False when that cannot be sent either."""
        with self._lock:
            if self._spoiled:
                return False
            self._spoiled = True
            del self._events[self.stored - self.before :]
            self._events.append(Failed(error.code, error.message, error.param))
            self._state = State.FAILED
        self.cancel()
        return True

    @property
    def pending(self) -> bool:
        """True when there are events that Redis does not have."""
        with self._lock:
            return self.stored - self.before < len(self._events)

    @property
    def ending(self) -> bool:
        """True when the last event is on its way, or stored."""
        return self._state is not None

    @property
    def over(self) -> bool:
        """True when nothing more will come of it."""
        return self.fenced or self.handed_back or self.settled

    @property
    def settled(self) -> bool:
        """True when the end has been stored."""
        with self._lock:
            return self._state is not None and self.stored - self.before == len(self._events)

    def tell(self) -> None:
        """It is over: have its spans told, where it has some."""
        if self._spans is None:
            return
        outcome = "fenced" if self.fenced else "handed_back" if self.handed_back else ""
        self._spans.end(self._events, outcome)

    def result(self) -> dict[str, Any]:
        """How it ended, for the log."""
        last = self._events[-1]
        fields: dict[str, Any] = {"outcome": self._state, "wait_ms": self._waited}
        fields["seconds"] = round(time.monotonic() - self._began, 3)
        match last:
            case Done(usage=usage):
                fields |= {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
            case Failed():
                fields |= {"code": last.code, "reason": last.message}
        return fields
