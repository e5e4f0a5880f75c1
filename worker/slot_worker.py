"""An RQ worker with slots: one thread takes jobs off the queue, N slots compute them side by side in one process.

It never calls RQ's `perform_job`, `handle_job_*`, `Retry` or its cleanups: those are not fenced, and would run a
recovered job twice (see docs/architecture.md).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from redis import OutOfMemoryError, Redis
from rq import Queue
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer
from rq.worker_registration import clean_worker_registry, register

from shared import disturbance, registry
from shared.config import Config
from shared.errors import InferqError, NotUnderstood
from shared.heap import Heap
from shared.loops import Loops
from shared.protocol import Failed
from shared.store import Outage
from shared.ticket import Claim, LeftForOthers
from shared.tickets import Tickets
from worker.dequeuer import Claimed, Dequeuer
from worker.engines import Engine
from worker.execution import Execution
from worker.leases import LeaseKeeper
from worker.patient_worker import PatientWorker
from worker.presence import Herald
from worker.publish import PAUSE, Publisher
from worker.quarantine import Quarantine
from worker.retirement import Retirement
from worker.run import Runner, patiently
from worker.runners import RUNNERS
from worker.slots import Slots

log = logging.getLogger(__name__)

_NOT_OURS = 0.3, 0.7
"""Seconds for which a job that only another version understands is held before it goes back to find its worker: less
than BLMPOP waits, for Redis gives it to whoever has waited the longest."""


class SlotWorker(PatientWorker):
    """Runs the jobs of one model until SIGTERM or SIGINT.

    On the first signal it takes no more jobs, gives the running ones `grace` seconds to finish, and hands the rest
    back to the head of the queue in the order of their arrival. A second signal ends it at once; its leases lapse.
    On SIGUSR1 it takes no more jobs either, and the running ones have all the time that they need.
    """

    def __init__(self, engine: Engine, client: Redis, lease_client: Redis, me: registry.Worker, config: Config) -> None:
        self.model = engine.card.id
        super().__init__([self.model], name=me.name, connection=client, serializer=JSONSerializer)
        self.engine = engine
        self.tickets = Tickets(client)
        self._lease_ms = int(config.lease * 1000)
        self._dequeuer = Dequeuer(client, me.name, self.model, engine.card.digest, self._lease_ms)
        self._lease_client = lease_client
        self._loops = Loops()
        Heap().start(self._loops)
        self._herald = Herald(lease_client, me, self._lease_ms)
        self._slots = Slots(engine.card.slots)
        self._quarantine = Quarantine()
        self._retirement = Retirement(config.grace)
        self._attempts: dict[str, Execution] = {}
        self._lock = threading.Lock()
        self._publisher = Publisher(client, self.model, self._loops)
        self._leases = LeaseKeeper(lease_client, self.model, config.lease, self._running, self._announce, self._loops)

    # One job's way: dequeue_job_and_maintain_ttl -> execute_job -> _begin -> _run -> publisher -> _forget

    @property
    def trouble(self) -> str:
        """What keeps it from computing; empty when nothing does."""
        return self.engine.trouble or self._loops.trouble

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        """Wait for a free slot, then for a job.

        The queue's entry is a permit: which job it is for, the claim says.
        """
        while not self._slots.take(timeout=0.2):
            if self._retirement.asked:
                raise StopRequested
        queue = self.queues[0]
        while not self._retirement.asked:
            if self.engine.stale:
                log.warning("the model's files are others now: this worker ends, so that they are loaded")
                self._retirement.drain()
            if self.trouble:  # another worker may do better
                time.sleep(PAUSE)
                continue
            try:
                entry = self._dequeuer.take(queue.key)
            except Exception as exc:  # noqa: BLE001 - RQ would end the worker, and say nothing
                disturbance.redis.fail(f"no job is taken: {exc}", error=None if isinstance(exc, Outage) else exc)
                time.sleep(PAUSE)
                continue
            disturbance.redis.end()
            if entry is not None and not (self.trouble or self._retirement.asked):  # else the sweep makes another one
                return entry.decode(errors="replace"), queue
        self._slots.give_back()
        raise StopRequested

    def execute_job(self, permit: Any, queue: Queue) -> None:
        """Claim a job, and have the slot that was taken run it. Where there is something to wait for, the slot does.

        Were the slot to claim it, two threads would be at work before anybody knows the job, and wait for each other.
        """
        execution_id = self._dequeuer.new_id()
        try:
            claim = self._dequeuer.claim(permit, execution_id)
        except Exception:  # noqa: BLE001 - whatever it is, the slot meets it too; RQ would end the worker
            self._slots.occupy(self._begin_late, permit, execution_id)
            return
        if claim:
            self._slots.occupy(self._begin, execution_id, claim)
        else:
            self._slots.give_back()

    def _begin_late(self, permit: str, execution_id: str) -> None:
        self._begin(execution_id, self._dequeuer.claim_patiently(permit, execution_id))

    def _begin(self, execution_id: str, claim: Claimed) -> None:
        """Run the job that was claimed. What is left for another worker, and not taken, it is given soon."""
        while isinstance(claim, LeftForOthers):
            if self._retirement.wait(claim.ms / 1000) or self.trouble:
                return
            execution_id = self._dequeuer.new_id()
            claim = self._dequeuer.claim_patiently("", execution_id)
        if claim:
            self._run(execution_id, claim)

    def _run(self, execution_id: str, claim: Claim) -> None:
        try:
            execution = Execution(execution_id, claim, self._forget)
        except NotUnderstood as exc:
            log.warning("cannot compute %s, so it goes back to the queue: %s", claim.job_id, exc)
            self._retirement.wait(random.uniform(*_NOT_OURS))  # given back at once it would be the next that we take
            patiently(lambda exc=exc: self.tickets.hand_back(self.model, claim.job_id, execution_id, exc))  # type: ignore[misc]  # its default
            return
        # By execution, not by job: a doubled entry of the same job may land here too, and must not hide the first.
        with self._lock:
            self._attempts[execution_id] = execution
        try:
            run = self._prepare(execution)
        except Exception:  # from here on nobody else would end the job
            log.exception("the job failed before it was begun", extra=execution.names)
            execution.cancel()
            error = InferqError("The worker failed unexpectedly.")
            self._publisher.publish(execution, Failed(error.code, error.message))
            return
        run.work()

    def _prepare(self, execution: Execution) -> Runner[Any]:
        """The execution's computation, with further slots for further choices if there are any this moment.

        Whoever waits for one holds none.
        """
        runner = RUNNERS[type(execution.accepted.task)]
        run = runner(self.engine, self._quarantine, execution, self._publisher.publish, self.tickets)
        if execution.before:
            patiently(run.restore)
        run.enter()
        for _ in range(run.width - 1):
            if not self._slots.take():
                break
            run.enter()
            self._slots.occupy(run.work)
        return run

    def _forget(self, execution: Execution) -> None:
        """The execution is over: its end is stored, or the job is not its own any more."""
        self._publisher.forget(execution)
        with self._lock:
            known = self._attempts.pop(execution.id, None)
        if known:
            execution.tell()
        if known and execution.settled and not (execution.fenced or execution.handed_back):
            log.info("job ended", extra=execution.names | execution.result())

    def _running(self) -> list[Execution]:
        with self._lock:
            return list(self._attempts.values())

    # What Redis hears of this worker

    def _announce(self) -> None:
        if self._retirement.asked or not self._herald.announce(self.trouble, self._loops.errors()):
            return
        with suppress(OutOfMemoryError), self._lease_client.pipeline() as pipe:  # it is for RQ's tools only
            register(self, pipe)  # anew: whoever was taken for dead is not listed any more
            pipe.hset(self.key, mapping=self.serialize())
            pipe.expire(self.key, self.worker_ttl + 60)
            pipe.execute()

    def request_stop_execution(self, execution_id: str) -> None:
        """RQ's command `stop-execution`, sent by cancel.lua."""
        with self._lock:
            execution = self._attempts.get(execution_id)
        if execution:
            execution.cancel()

    # Start and stop

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        self._retirement.listen()
        super().bootstrap(*args, **kwargs)
        with suppress(*Outage):
            clean_worker_registry(self.queues[0])  # of the names of workers that were killed
        self._leases.start()

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """The first signal. Nothing is raised here: BLMPOP may have taken a permit already."""
        self._retirement.hurry()

    def teardown(self) -> None:
        log.info("stopping: %d jobs have %g s to finish", self._slots.busy, self._retirement.patience)
        with suppress(*Outage):
            registry.withdraw(self.connection, self.name)
        while (self._slots.busy or self._running()) and self._retirement.patient:
            time.sleep(0.02)
        left = self._running()
        for execution in left:
            execution.hand_back()
        with suppress(*Outage):
            if left:
                count = self.tickets.release(self.model, [(e.job_id, e.id) for e in left])
                log.info("handed %d jobs back", count)
        self._leases.stop()
        self._publisher.stop()
        self._slots.close()
        with suppress(*Outage):
            super().teardown()  # type: ignore[no-untyped-call]  # RQ's is not annotated
