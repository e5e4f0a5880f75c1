"""From task to events: what a slot does with a job."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from redis import Redis

from shared import streams
from shared.errors import InferqError, JobCancelled, WorkerLost
from shared.protocol import Delta, Done, Event, Failed, State
from worker.engines import Engine
from worker.execution import Execution

log = logging.getLogger(__name__)


def run(engine: Engine, client: Redis, execution: Execution) -> Iterator[tuple[Event, State | None]]:
    """Compute a job. Yields its events; the last one with the state that it ends in.

    Ends without a last event when the job is not ours to end: it was fenced, or handed back.
    """
    try:
        if execution.start:
            refuse_if_answered(client, execution)
        for event in engine.run(execution.accepted.task, execution):
            if execution.cancelled:
                raise JobCancelled("The job was cancelled.")
            yield event, State.COMPLETED if isinstance(event, Done) else None
    except InferqError as exc:
        if not (execution.fenced or execution.handed_back):
            state = State.CANCELLED if isinstance(exc, JobCancelled) else State.FAILED
            yield Failed(exc.code, exc.message, exc.param), state
    except Exception:  # a fault of ours must end the job, not the slot
        log.exception("job %s", execution.job_id)
        yield Failed("internal_error", "The worker failed unexpectedly."), State.FAILED


def refuse_if_answered(client: Redis, execution: Execution) -> None:
    """Raise WorkerLost if an earlier execution has sent a part of the answer: a second one would not fit to it."""
    if any(isinstance(event, Delta) for event in streams.read(client, execution.job_id).events):
        raise WorkerLost("The worker died after it had sent a part of the answer.")
