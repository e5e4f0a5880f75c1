"""Dispatch: hand a task to the queue, take in its events, cancel it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

import gevent

from gateway.attempts import Visit
from gateway.directory import Directory
from gateway.errors import Crowded
from gateway.pace import Pace, Turn
from gateway.replies import Mailbox, Replies
from shared import streams
from shared.config import Config
from shared.errors import JobNotFound, QueueFull, StoreUnavailable, WorkerLost
from shared.protocol import Accepted, Delta, Done, Event, Failed, State, Task
from shared.store import Outage, translated
from shared.tickets import Tickets

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A job that this process has submitted and waits for."""

    id: str
    accepted: Accepted
    mailbox: Mailbox
    visit: Visit | None = None
    """Whom it is for; None for somebody who only follows it."""
    visitor: str = ""
    """The id with which that request came to the queue: the job's own, unless it has joined another's."""


class Dispatcher:
    """The gateway's side of the queue."""

    def __init__(self, tickets: Tickets, replies: Replies, directory: Directory, config: Config) -> None:
        self._tickets = tickets
        self._replies = replies
        self._directory = directory
        self._config = config
        self._pace = Pace(tickets)

    def submit(self, task: Task, prefix: str, owner: str, request_id: str, visit: Visit) -> Job:
        """Accept a task: once this returns, it will be answered. End with `close`, or `detach` where nobody waits.

        A client that comes again gets the job of its attempt before.

        Raises ModelNotFound, InvalidRequest, QueueFull, IdempotencyKeyReused, StoreUnavailable.
        """
        task = self._directory.admit(task)
        job_id = prefix + uuid4().hex
        accepted = Accepted(task, int(time.time()), owner, request_id)
        job = Job(job_id, accepted, self._replies.open(job_id), visit, visitor=job_id)
        try:
            with translated():
                taken = self._push(job)
        except BaseException as exc:
            self._replies.close(job.mailbox)
            if isinstance(exc, QueueFull):
                raise Crowded(exc.message, self._pace.retry_after(task.model, self._config.max_queue)) from exc
            if isinstance(exc, StoreUnavailable):
                gevent.spawn(self._withdraw, job_id)
            raise
        if taken == job_id:
            job.mailbox.on_lost = partial(self._push_again, job)
            return job
        self._replies.close(job.mailbox)
        log.info("joined %s", taken)
        return replace(self.follow(taken), visit=visit, visitor=job_id)

    def _push(self, job: Job) -> str:
        assert job.visit is not None
        return self._tickets.submit(
            job.id,
            job.accepted,
            reply=self._replies.stream,
            max_queue=self._config.max_queue,
            wait=job.visit.patience,
            keep=self._config.retention,
            attempt=job.visit.attempt,
        )

    def _push_again(self, job: Job) -> None:
        """A failover has lost the job. Submit it anew for its client, unless that has seen a part of the answer."""
        log.warning("redis has lost %s", job.id)
        if job.mailbox.next == 1:
            self._push(job)
        else:
            lost = WorkerLost("The job was lost in a failover after a part of the answer had been sent.")
            job.mailbox.put(job.mailbox.next, [Failed(lost.code, lost.message)])

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
        """Take back a job of which its client is told "not accepted"; one that the client has joined goes on."""
        self.detach(job)
        if job.visitor == job.id:
            gevent.spawn(self._withdraw, job.id)

    def close(self, job: Job) -> None:
        """Wait for the job no longer. If its end was not taken, the client has left: see `Visit.linger`."""
        self.detach(job)
        if job.mailbox.last or not job.visit:
            return
        try:
            self._tickets.leave(job.id, job.visitor, job.visit.attempt, job.visit.linger())
        except Outage as exc:
            log.warning("the job could not be cancelled: %s", exc)

    def follow(self, job_id: str) -> Job:
        """A second reader of a job, who gets its events from the first on. End with `detach`.

        Raises JobNotFound, StoreUnavailable.
        """
        mailbox = self._replies.open(job_id)
        try:
            with translated():
                self._tickets.attach(job_id, self._replies.stream)
                record = streams.read(self._tickets.client, job_id)
        except BaseException:
            self._replies.close(mailbox)
            raise
        mailbox.put(1, record.events)
        return Job(job_id, record.accepted, mailbox)

    def turn(self, model: str, job_id: str) -> Turn | None:
        """When the job's turn will come; None when it does not wait in the queue, or nobody knows."""
        try:
            position = self._tickets.position(model, job_id)
        except Outage:
            return None
        return None if position is None else Turn(position, self._pace.wait(model, position))

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
