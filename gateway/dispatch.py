"""Dispatch: hand a task to the queue, take in its events, cancel it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

from gateway import grammars
from gateway.archiver import Archiver
from gateway.attempts import Visit
from gateway.directory import Directory
from gateway.errors import Crowded
from gateway.estimate import Estimator, Turn
from gateway.followers import Followers
from gateway.keys import Owner
from gateway.mailbox import NOWHERE, Mailbox, Place
from gateway.memory import Memory
from gateway.reconcile import Reconciler
from gateway.replies import Replies
from gateway.schemas import Format
from shared import streams
from shared.config import Config
from shared.errors import JobNotFound, KeyFull, KeyMemoryFull, QueueFull, StoreUnavailable
from shared.protocol import Accepted, Options, State, Task, final_state, tells_tokens
from shared.store import Outage, translate_loss, translated
from shared.ticket import NOBODY, Standing, Ticket, Tier
from shared.tickets import Tickets

log = logging.getLogger(__name__)

LARGEST_FOLLOWED = 65_536
"""Bytes of a request that are kept for who only follows its job, so that the job can be put back for him."""
_IN_FLIGHT = 1.0
"""Seconds after which a command that was not answered has arrived, or will not."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job that this process has submitted and waits for."""

    id: str
    accepted: Accepted
    """For who only follows it: the head."""
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
        archiver: Archiver,
        keep: Callable[[Mailbox], None],
        config: Config,
    ) -> None:
        self._tickets = tickets
        self._replies = replies
        self._reconciler = reconciler
        self._directory = directory
        self._memory = memory
        self._archiver = archiver
        self._keep = keep
        self._config = config
        self.estimator = Estimator(tickets)
        self.followers = Followers(config.max_followers)

    def submit(self, task: Task, wire: Format, options: Options, owner: Owner, request_id: str, visit: Visit) -> Job:
        """Accept a task: once this returns, it will be answered. End with `close`, unless nobody waits. A client that
        comes again gets the job of its attempt before.

        Raises TierRefused, Crowded, MemoryFull, IdempotencyKeyReused, StoreUnavailable, and what `admit`, `check` do.
        """
        owner.check(Tier.of(options.tier))
        task = self._directory.admit(task, wire.usual_sampling)
        grammars.check(task, owner.name)
        if self._replies.trouble:
            raise StoreUnavailable("This gateway may not use the queue at the moment; its log says why.")
        job_id, attempt = wire.id_prefix + uuid4().hex, visit.attempt
        box = self._replies.open(job_id, visitor=job_id if attempt.waits else "", parts=attempt.parts)
        self._prepare(box, task, options)
        further = self._directory.fingerprint(task.model), *visit.carried
        now, part = divmod(time.time_ns(), 10**9)
        accepted = Accepted(task, now, owner.name, request_id, wire.name, options, *further, nanoseconds=part)
        job = Job(job_id, accepted, box, owner.standing(Tier.of(options.tier), self._memory.share), visit)
        try:
            with translated():
                taken = self._push(job)
        except BaseException as exc:
            self._replies.close(box)
            if isinstance(exc, QueueFull):
                raise Crowded(exc, self.estimator.next_place(task.model, self._config.max_queue)) from exc
            if isinstance(exc, KeyFull | KeyMemoryFull):
                raise Crowded(exc, self.estimator.next_end(task.model, owner.name)) from exc
            if isinstance(exc, StoreUnavailable):
                self._withdraw(job_id)
            raise
        if taken != job_id:
            log.info("joined %s", taken)
        if taken == job_id and attempt.waits:
            box.accept(partial(self._put_back, job))
            box.model = task.model
            return job
        self._replies.close(box)
        if not attempt.waits:
            return replace(job, id=taken)
        with translate_loss():
            return self._join(taken, task, owner, visit, box.visitor)

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
            most_unarchived_bytes=self._memory.most_unarchived,
        )

    def _put_back(self, job: Job) -> None:
        """Redis has lost a job. Where its answer is stored, that is told. Raises ArchiveUnavailable, ArchiveDamaged."""
        if job.accepted.options.kept and (events := self._archiver.told(job.id, job.accepted)):
            job.mailbox.stored = events
            self._replies.fill(job.mailbox)
        else:
            self._push(job, again=True)

    def _prepare(self, box: Mailbox, task: Task, options: Options) -> None:
        """Have a mailbox know how it is told, and what comes before the end of an answer that is to be stored."""
        box.exact = tells_tokens(task)
        if options.kept:
            box.at_end = partial(self._keep, box)

    def _withdraw(self, job_id: str) -> None:
        """Have a job not run whose client was told "not accepted", unless he came again meanwhile and was given it."""
        self._reconciler.say(partial(self._tickets.withdraw, job_id), after=_IN_FLIGHT)

    def detach(self, job: Job) -> None:
        """Wait for the job no longer; it goes on."""
        self._replies.close(job.mailbox)

    def withdraw(self, job: Job) -> None:
        """Take back a job that nobody waits for: its client is told "not accepted". One that it has joined goes on."""
        if job.id == job.mailbox.job_id:
            self._withdraw(job.id)

    def close(self, job: Job) -> None:
        """Wait for the job no longer. If its end was not taken, the client has left: see `Visit.linger`.

        So has one that was told an end of which nothing has arrived: it was not accepted after all.
        """
        box = job.mailbox
        if box.visitor and job.visit and not (box.last and box.arrived_at != NOWHERE):
            args = (job.id, box.visitor, self._replies.stream, job.visit.attempt, job.visit.linger())
            box.farewell = partial(self._tickets.leave, *args)
        self.detach(job)
        if box.farewell:
            self._reconciler.say(box.farewell)

    def follow(self, ticket: Ticket, owner: Owner) -> Job:
        """A second reader of the owner's job, who gets its events from the first on. End with `detach`.

        Raises JobNotFound, StoreUnavailable.
        """
        request = partial(streams.request, self._tickets.client, ticket.id, LARGEST_FOLLOWED)
        return self._read(ticket.id, owner, lambda _: request(), over=ticket.state.final)

    def _join(self, job_id: str, task: Task, owner: Owner, visit: Visit, visitor: str) -> Job:
        """A client's own job, of its attempt before, that has asked for the same `task`. End with `close`."""
        return self._read(job_id, owner, lambda head: head.restore(task), visit, visitor)

    def _read(
        self,
        job_id: str,
        owner: Owner,
        request: Callable[[Accepted], Accepted | None],
        visit: Visit | None = None,
        visitor: str = "",
        over: bool = False,
    ) -> Job:
        """`request` tells by a job's head what to put back, should Redis lose it; `over` that it has ended."""
        box = self._replies.open(job_id, visitor=visitor, parts=visit is None or visit.attempt.parts)
        box.over = over
        try:
            with translated():
                if self._tickets.attach(self._replies.stream, [box.sighting]).get(0) is False:
                    raise JobNotFound(job_id)
                head = streams.accepted(self._tickets.client, job_id)
                whole = request(head)
                given = streams.given(self._tickets.client, job_id) if whole else ()
                self._tickets.get(job_id)  # else Redis has lost it meanwhile, and nobody could put it back later
        except BaseException:
            self._replies.close(box)
            raise
        job = Job(job_id, head, box, owner.standing(Tier.of(head.options.tier)), visit)
        self._prepare(box, head.task, head.options)
        box.accept(partial(self._put_back, replace(job, accepted=whole.beside(given))) if whole else None)
        box.model = head.task.model if visit else ""
        self._replies.fill(box)
        return job

    def turn(self, model: str, job_id: str) -> Turn | None:
        """When the job's turn will come; None when it does not wait in the queue, or nobody knows."""
        try:
            position = self._tickets.position(job_id)
        except Outage:
            return None
        return None if position is None else Turn(position, self.estimator.wait(model, position))

    def cancel(self, job_id: str, aside: AbstractContextManager[object], patience: float = 10.0) -> State:
        """Cancel a job and wait until it has ended; its final state, which may be another one that came first.

        It waits within `aside`; after `patience` seconds the state is what it is then. Raises JobNotFound,
        StoreUnavailable.
        """
        box = self._replies.open_for_end(job_id)
        try:
            with translated():
                ticket = self._tickets.get(job_id)
                box.arrived_at = Place(ticket.events, ticket.by)
                if self._tickets.attach(self._replies.stream, [box.sighting]):
                    self._replies.fill(box)
                state = self._tickets.cancel(job_id)
            box.accept(None)
            with aside:
                last = None if state.final else box.take(patience)
        finally:
            self._replies.close(box)
        return (last and final_state(last)) or state
