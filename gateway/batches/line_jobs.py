"""The jobs of a batch's lines: each is made of its batch, its line and its attempt, so that it is accepted once.

They are jobs of the tier `flex` that nobody waits for, and leave room in the queue for those of others.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256
from typing import TypeVar

from msgspec.structs import replace

from gateway import bodies, grammars
from gateway.batches.endpoints import ENDPOINTS
from gateway.batches.lines import LONGEST_TOLD_MODEL, model_of
from gateway.directory import Directory
from gateway.keys import Owner
from gateway.memory import Memory
from gateway.reading import understand
from gateway.schemas.outcomes import TOO_LARGE
from gateway.slices import give_way
from shared import streams, tracing
from shared.config import Config
from shared.errors import InvalidRequest, JobNotFound, ModelNotFound, NoWorker
from shared.keys import Key
from shared.protocol import Accepted, Event, State, Task, final_state
from shared.store import translated
from shared.ticket import Standing, Tier
from shared.tickets import Tickets
from shared.tracing import NOWHERE, Carried

T = TypeVar("T")

MOST_OF_A_QUEUE = 0.5
"""The part of a model's queue, and of the jobs that an API key may have, beyond which no further line is fed."""
MOST_ATTEMPTS = 3
"""Jobs of a line whose failures say that another one may do better."""
MOST_NAMES = 1_000
"""Names of models of which a process remembers whether they were there."""
MODEL_PATIENCE = 30.0
"""Seconds for which a model is waited for that nobody has seen."""
_AT_ONCE = 64
"""Tickets that are looked at in one round trip: a few milliseconds."""
_SOON = 1
"""Seconds after which the record of a job goes that nobody needs any more."""


class LineJobs:
    """Of one process. Raises StoreUnavailable where Redis does not answer."""

    def __init__(self, tickets: Tickets, directory: Directory, memory: Memory, config: Config) -> None:
        self._tickets = tickets
        self._directory = directory
        self._memory = memory
        self._config = config
        self._missed = dict[str, float]()
        """Names of models that were asked for and are not there, by since when."""
        self._seen = dict[str, float]()
        """Those that were."""

    def submit(self, job_id: str, endpoint: str, body: bytes, owner: Owner, due: float, begun_by: str) -> Accepted:
        """Have a line computed before then. One that is there already goes on as it is. `begun_by` is the `traceparent`
        of the request that has made its batch.

        Raises what a request to the endpoint is refused with.
        """
        self._check_size(body)
        digest = job_id.removeprefix(ENDPOINTS[endpoint].id_prefix)
        self._check_length(body)
        wire, task, options, _ = understand(
            ENDPOINTS[endpoint], body, owner.name, int(digest[:8], 16) % (2**32 - 1), lambda *_: None
        )
        if options.stream:
            raise InvalidRequest(
                "Unsupported value for 'stream': requests of a batch are answered whole.",
                param="stream",
                code="unsupported_value",
            )
        try:
            task = self._admit(task)
            grammars.check(task, owner.name)
        except InvalidRequest as exc:
            exc.param = wire.parameters.get(exc.param, exc.param) if exc.param else None
            raise
        options = replace(options, tier=str(Tier.FLEX))
        further = self._directory.fingerprint(task.model), *_trace(job_id, task.model, begun_by)
        accepted = Accepted(task, int(time.time()), owner.name, f"req_{digest}", wire.name, options, *further)
        with translated():
            self._tickets.submit(
                job_id,
                accepted,
                reply="",
                max_queue=max(1, int(self._config.max_queue * MOST_OF_A_QUEUE)),
                wait=max(1.0, due - time.time()),
                keep=self._config.retention,
                standing=self._standing(owner),
                most_bytes=self._memory.most,
                most_unarchived_bytes=self._memory.most_unarchived,
            )
        return accepted

    def states(self, job_ids: Sequence[str]) -> list[State | None]:
        """Of each; None where there is no such job any more."""
        found = list[State | None]()
        for some in (job_ids[start : start + _AT_ONCE] for start in range(0, len(job_ids), _AT_ONCE)):
            with translated(), self._tickets.client.pipeline(transaction=False) as pipeline:
                for job_id in some:
                    pipeline.hmget(f"{Key.JOB}{job_id}", "state", "ended")
                found += [_state(*told) for told in pipeline.execute()]
            give_way()
        return found

    def read(self, job_id: str) -> tuple[Accepted, list[Event], int]:
        """A job that has ended: its head, its events to the last one, and how many bytes they have.

        Raises JobNotFound where they are not there any more.
        """
        events, size = list[Event](), 0
        with translated():
            accepted = streams.accepted(self._tickets.client, job_id)
            for entry in streams.entries(self._tickets.client, job_id, pause=give_way):
                events += filter(None, entry.events)
                size += len(entry.blob)
        if not events or final_state(events[-1]) is None:
            raise JobNotFound(job_id)
        return accepted, events, size

    def cancel(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            with translated():
                self._tickets.withdraw(job_id)

    def forget(self, job_ids: Iterable[str]) -> None:
        """The records of these jobs go soon; not of one that waits or runs again, or is yet to be stored."""
        with translated(), self._tickets.client.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                for key in (Key.EVENTS, Key.JOB):
                    pipeline.expire(f"{key}{job_id}", _SOON, xx=True)  # others have no time to live
                pipeline.zrem(Key.RETAINED, job_id)
            pipeline.execute()

    def _check_length(self, body: bytes) -> None:
        """Before a large one is understood, which takes long. Raises InvalidRequest, and what `find` does."""
        if len(body) <= self._config.largest_body(1):
            return
        name = model_of(body)
        find = partial(self._directory.find, name) if name else self._directory.default
        if len(body) > (most := self._config.largest_body(self._patiently(name, find).card.context or None)):
            raise InvalidRequest(f"The request body is larger than {most} bytes", code=TOO_LARGE)

    def _admit(self, task: Task) -> Task:
        return self._patiently(task.model, lambda: self._directory.admit(task))

    def _patiently(self, name: str, find: Callable[[], T]) -> T:
        """What the directory says; where there is no such model, one that was there is waited for, and any for a while.

        It may be that everything was started anew, and its worker has yet to come.
        """
        name = name[:LONGEST_TOLD_MODEL]
        try:
            found = find()
        except ModelNotFound as exc:
            missed = self._missed.setdefault(name, time.monotonic())
            if name in self._seen or time.monotonic() - missed < MODEL_PATIENCE:
                raise NoWorker(exc.message, param="model") from exc
            raise
        finally:
            for names in (self._missed, self._seen):
                while len(names) > MOST_NAMES:
                    del names[next(iter(names))]
        self._missed.pop(name, None)
        self._seen[name] = 0.0
        return found

    def _check_size(self, body: bytes) -> None:
        """Raises InvalidRequest, as a request to the endpoint is refused; NoWorker where no model is there to tell."""
        if len(body) > (most := self._directory.largest_body()):
            if not self._directory.offers():
                raise NoWorker("No worker has come yet.", param="model")
            raise bodies.too_large(most)

    def _standing(self, owner: Owner) -> Standing:
        found = owner.standing(Tier.FLEX, self._memory.share)
        return dataclasses.replace(found, most=max(1, int(found.most * MOST_OF_A_QUEUE)) if found.most else 0)


def _trace(job_id: str, model: str, begun_by: str) -> Carried:
    """A line begins a trace of its own, with a link to the request that has made its batch, which is long over."""
    if (here := tracing.here()) is None:
        return NOWHERE
    return here.produce("batch line", {"inferq.job_id": job_id, "gen_ai.request.model": model}, begun_by)


def _state(state: bytes | None, ended: bytes | None) -> State | None:
    if state is None:
        return None
    found = State(state.decode())
    return State.FAILED if ended and not found.final else found  # in a way that only another version knows


def job_id_of(batch_id: str, endpoint: str, number: int, attempt: int) -> str:
    """That of a line's job."""
    digest = sha256(f"{batch_id}/{number}/{attempt}".encode()).hexdigest()[:32]
    return ENDPOINTS[endpoint].id_prefix + digest
