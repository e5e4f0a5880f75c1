"""Dispatch: hand a task to the queue, take in its events, cancel it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

import gevent

from gateway.attempts import Visit
from gateway.directory import Directory
from gateway.errors import Crowded
from gateway.estimate import Estimator, Turn
from gateway.keys import Owner
from gateway.mailbox import Mailbox
from gateway.memory import Memory
from gateway.reconcile import Reconciler
from gateway.replies import Replies
from gateway.schemas import Format
from shared import streams
from shared.config import Config
from shared.errors import JobNotFound, KeyFull, KeyMemoryFull, QueueFull, StoreUnavailable
from shared.protocol import Accepted, Delta, Done, Event, Failed, Options, State, Task, TextTask
from shared.store import Outage, translated
from shared.ticket import NOBODY, Standing, Tier
from shared.tickets import Tickets

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A job that this process has submitted and waits for."""

    id: str
    accepted: Accepted
    mailbox: Mailbox
    standing: Standing
    visit: Visit | None = None
    """Whom it is for; None for somebody who only follows it."""


class Dispatcher:
    """The gateway's side of the queue."""

    def __init__(
        self,
        tickets: Tickets,
        replies: Replies,
        reconciler: Reconciler,
        directory: Directory,
        memory: Memory,
        config: Config,
    ) -> None:
        self._tickets = tickets
        self._replies = replies
        self._reconciler = reconciler
        self._directory = directory
        self._memory = memory
        self._config = config
        self._estimator = Estimator(tickets)

    def submit(self, task: Task, wire: Format, options: Options, owner: Owner, request_id: str, visit: Visit) -> Job:
        """Accept a task: once this returns, it will be answered. End with `close`, unless nobody waits.

        A client that comes again gets the job of its attempt before.

        Raises TierRefused, ModelNotFound, InvalidRequest, Crowded, MemoryFull, IdempotencyKeyReused, StoreUnavailable.
        """
        owner.check(tier_of(options))
        task = self._directory.admit(task)
        if self._replies.trouble:
            raise StoreUnavailable("This gateway may not use the queue at the moment; its log says why.")
        job_id, attempt = wire.id_prefix + uuid4().hex, visit.attempt
        box = self._replies.open(job_id, visitor=job_id if attempt.waits else "", parts=attempt.parts)
        box.exact = _is_exact(task)
        accepted = Accepted(task, int(time.time()), owner.name, request_id, wire.name, options)
        job = Job(job_id, accepted, box, owner.standing(tier_of(options), self._memory.share), visit)
        try:
            with translated():
                taken = self._push(job)
        except BaseException as exc:
            self._replies.close(box)
            if isinstance(exc, QueueFull):
                raise Crowded(exc, self._estimator.next_place(task.model, self._config.max_queue)) from exc
            if isinstance(exc, KeyFull | KeyMemoryFull):
                raise Crowded(exc, self._estimator.next_end(task.model, owner.name)) from exc
            if isinstance(exc, StoreUnavailable):
                gevent.spawn(self._withdraw, job_id)
            raise
        if taken != job_id:
            log.info("joined %s", taken)
        if taken == job_id and attempt.waits:
            box.accept(partial(self._push, job, again=True))
            return job
        self._replies.close(box)
        if not attempt.waits:
            return replace(job, id=taken)
        with translate_loss():
            return self.follow(taken, owner, visit, box.visitor)

    def _push(self, job: Job, *, again: bool = False) -> str:
        """Put the job into the queue, `again` where it was there before and Redis has lost it."""
        attempt = job.visit.attempt if job.visit else NOBODY
        return self._tickets.submit(
            job.id,
            job.accepted,
            reply=self._replies.stream if job.visit is None or attempt.waits else "",
            max_queue=self._config.max_queue,
            wait=job.visit.patience if job.visit else self._config.request_timeout,
            keep=self._config.retention,
            attempt=attempt,
            visitor=job.mailbox.visitor,
            again=again,
            standing=job.standing,
            most_bytes=self._memory.most,
        )

    def _withdraw(self, job_id: str) -> None:
        """See that a job whose client was told "not accepted" does not run, should its command arrive after all.

        Unless that client came again meanwhile and was given the job: then it is accepted.
        """
        for _ in range(60):
            gevent.sleep(1)
            with suppress(*Outage):
                with suppress(JobNotFound):
                    self._tickets.cancel(job_id, unless_joined=True)
                return

    def detach(self, job: Job) -> None:
        """Wait for the job no longer; it goes on."""
        self._replies.close(job.mailbox)

    def withdraw(self, job: Job) -> None:
        """Take back a job that nobody waits for: its client is told "not accepted". One that it has joined goes on."""
        if job.id == job.mailbox.job_id:
            gevent.spawn(self._withdraw, job.id)

    def close(self, job: Job) -> None:
        """Wait for the job no longer. If its end was not taken, the client has left: see `Visit.linger`."""
        box = job.mailbox
        if box.visitor and job.visit and not box.last:
            args = (job.id, box.visitor, self._replies.stream, job.visit.attempt, job.visit.linger())
            box.farewell = partial(self._tickets.leave, *args)
        self.detach(job)
        if box.farewell:
            self._reconciler.say(box.farewell)

    def follow(self, job_id: str, owner: Owner, visit: Visit | None = None, visitor: str = "") -> Job:
        """A second reader of the owner's job, who gets its events from the first on.

        End with `detach`, or `close` for a visit.

        Raises JobNotFound, StoreUnavailable.
        """
        box = self._replies.open(job_id, visitor=visitor, parts=visit is None or visit.attempt.parts)
        try:
            with translated():
                if self._tickets.attach(self._replies.stream, [box.sighting]).get(0) is False:
                    raise JobNotFound(job_id)
                accepted = streams.accepted(self._tickets.client, job_id)
        except BaseException:
            self._replies.close(box)
            raise
        job = Job(job_id, accepted, box, owner.standing(tier_of(accepted.options)), visit)
        box.exact = _is_exact(accepted.task)
        box.accept(partial(self._push, job, again=True))
        self._replies.fill(box)
        return job

    def turn(self, model: str, job_id: str) -> Turn | None:
        """When the job's turn will come; None when it does not wait in the queue, or nobody knows."""
        try:
            position = self._tickets.position(job_id)
        except Outage:
            return None
        return None if position is None else Turn(position, self._estimator.wait(model, position))

    def cancel(self, job_id: str, patience: float = 10.0) -> State:
        """Cancel a job and wait until it has ended; its final state, which may be another one that came first.

        After `patience` seconds the state is what it is then. Raises JobNotFound, StoreUnavailable.
        """
        end = time.monotonic() + patience
        with translated():
            state = self._tickets.cancel(job_id)
            while not state.final and time.monotonic() < end:
                time.sleep(0.01)
                state = self._tickets.get(job_id).state
        return state


def tier_of(options: Options) -> Tier:
    """That of a job. One that only another version knows is the default."""
    return next((tier for tier in Tier if tier == options.tier), Tier.DEFAULT)


def _is_exact(task: Task) -> bool:
    """See `Mailbox.exact`."""
    return isinstance(task, TextTask) and task.token_ids


@contextmanager
def translate_loss() -> Iterator[None]:
    """Around what is done with a job that was accepted just now: Redis may lose it before its client hears of it."""
    try:
        yield
    except JobNotFound as exc:
        raise StoreUnavailable("The queue has lost the request before it could be kept. Please try again.") from exc


def events(mailbox: Mailbox) -> Iterator[Event]:
    """A job's events as they come, to the last. Raises ClientGone."""
    while True:
        event = mailbox.take(None)
        assert event is not None
        yield event
        if isinstance(event, Done | Failed):
            return


def first_decisive(mailbox: Mailbox, patience: float) -> Event | None:
    """The job's first event that decides the status line; None when it did not come within `patience` seconds.

    Progress decides nothing: after it the prompt may still turn out to be too long. Raises ClientGone.
    """
    end = time.monotonic() + patience
    while (left := end - time.monotonic()) > 0:
        event = mailbox.take(left)
        if isinstance(event, Delta | Done | Failed):
            return event
    return None
