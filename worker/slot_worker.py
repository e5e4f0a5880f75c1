"""An RQ worker with slots: one thread takes jobs off the queue, N slots compute them side by side in one process.

Of RQ 3.0 it keeps the loop, the registration, the names, the commands and the queue's lists. It never calls RQ's
`perform_job`, `handle_job_*`, `Retry` or its cleanups: those are not fenced, and would run a recovered job twice
(see docs/architecture.md).
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar

from redis import OutOfMemoryError, Redis
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer
from rq.worker_registration import clean_worker_registry

from shared import logs, registry
from shared.config import Config
from shared.store import Outage
from shared.tickets import Tickets
from worker.engines import Engine
from worker.execution import Execution
from worker.leases import LeaseKeeper
from worker.presence import Herald
from worker.publish import PAUSE, Publisher
from worker.quarantine import Quarantine
from worker.run import Run

log = logging.getLogger(__name__)

T = TypeVar("T")


class SlotWorker(SimpleWorker):
    """Runs the jobs of one model until SIGTERM or SIGINT.

    On the first signal it takes no more jobs, gives the running ones `grace` seconds to finish, and hands the rest
    back to the head of the queue in the order of their arrival. A second signal ends it at once; its leases lapse.
    """

    should_run_maintenance_tasks = False

    def __init__(self, engine: Engine, client: Redis, lease_client: Redis, me: registry.Worker, config: Config) -> None:
        self.model = engine.card.id
        super().__init__([self.model], name=me.name, connection=client, serializer=JSONSerializer)
        self.engine = engine
        self.grace = config.grace
        self.tickets = Tickets(client)
        self._lease_ms = int(config.lease * 1000)
        self._lease_client = lease_client
        self._herald = Herald(lease_client, me)
        self._free = threading.Semaphore(engine.card.slots)
        self._slots = ThreadPoolExecutor(engine.card.slots, thread_name_prefix="slot")
        self._quarantine = Quarantine()
        self._stopping = threading.Event()
        self._busy = 0
        self._attempts: dict[str, Execution] = {}
        self._lock = threading.Lock()
        self._publisher = Publisher(client, self.model, self._settled)
        self._leases = LeaseKeeper(lease_client, self.model, config.lease, self._running, self._announce)

    # One job's way: dequeue_job_and_maintain_ttl -> execute_job -> _slot -> _run -> publisher -> _settled

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        """Wait for a free slot, then for a job.

        The queue's entry is only a hint: its slot finds out what is behind it.
        """
        while not self._free.acquire(timeout=0.2):
            if self._stopping.is_set():
                raise StopRequested
        queue = self.queues[0]
        while not self._stopping.is_set():
            if self.engine.trouble:  # what we took now would fail; another worker may do better
                time.sleep(PAUSE)
                continue
            try:
                entry = self._take(queue)
            except Outage as exc:
                log.warning("waiting for redis: %s", exc)
                time.sleep(PAUSE)
                continue
            if entry is not None and not self.engine.trouble:  # else the sweep puts it back
                return entry.decode(errors="replace"), queue  # not UTF-8, not ours: it will find no ticket
        self._free.release()
        raise StopRequested

    def _take(self, queue: Queue) -> bytes | None:
        """Move an entry to the intermediate list, waiting up to a second for one."""
        try:
            entry: bytes | None = self.connection.blmove(queue.key, queue.intermediate_queue_key, 1)  # type: ignore[assignment]  # str only with decode_responses
        except OutOfMemoryError:  # BLMOVE is refused, and only finished jobs give memory back
            entry = self.tickets.move(queue.key, queue.intermediate_queue_key)
            if entry is None:
                time.sleep(PAUSE)
        return entry

    def execute_job(self, job_id: Any, queue: Queue) -> None:
        self._occupy(self._run, job_id)

    def _occupy(self, work: Callable[..., None], *arguments: Any) -> None:
        """Have a slot, which was taken from `_free`, do some work."""
        with self._lock:
            self._busy += 1
        self._slots.submit(self._slot, work, *arguments)

    def _slot(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception:  # a slot that died would be missing for good; the job's lease lapses and another takes it
            log.exception("slot")
        finally:
            logs.bind()
            self._free.release()
            with self._lock:
                self._busy -= 1

    def _run(self, job_id: str) -> None:
        execution = self._claim(job_id)
        if execution is None:
            log.warning("queue entry %.80r has no job behind it that could be run", job_id)
            return
        run = Run(self.engine, self._quarantine, execution, self._publisher.publish)
        if execution.start:
            _patiently(lambda: run.restore(self.connection))
        run.enter()
        # Further slots for further choices, if there are any this moment. Whoever waits for one holds none.
        for _ in range(run.width - 1):
            if not self._free.acquire(blocking=False):
                break
            run.enter()
            self._occupy(run.work)
        run.work()

    def _claim(self, job_id: str) -> Execution | None:
        execution_id = Execution.new_id()
        claim = _patiently(
            lambda: self.tickets.claim(self.model, job_id, execution_id, lease_ms=self._lease_ms, worker=self.name)
        )
        if claim is None:
            return None
        execution = Execution(job_id, execution_id, claim)
        # By execution, not by job: a doubled entry of the same job may land here too, and must not hide the first.
        with self._lock:
            self._attempts[execution_id] = execution
        return execution

    def _settled(self, execution: Execution) -> None:
        with self._lock:
            known = self._attempts.pop(execution.id, None)
        if known and execution.settled:
            log.info("job ended", extra=execution.names | execution.result())

    def _running(self) -> list[Execution]:
        with self._lock:
            return list(self._attempts.values())

    # What Redis hears of this worker

    def _announce(self) -> None:
        if self._stopping.is_set() or not self._herald.announce(self.engine.trouble):
            return
        with self._lease_client.pipeline() as pipe:
            pipe.hset(self.key, mapping=self.serialize())
            pipe.expire(self.key, self.worker_ttl + 60)
            pipe.execute()

    def _set_connection(self, connection: Redis) -> Redis:
        """RQ would wait seven minutes for each answer, but a link that is cut tells nobody."""
        return connection

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """The lease keeper does it."""

    def check_for_suspension(self, burst: bool) -> None:
        """RQ asks Redis here outside of every `try`, so that an outage would end the loop."""

    def set_state(self, state: str, pipeline: Any = None) -> None:
        self._state = state

    def procline(self, message: str) -> None:
        """Our process title is `inferq worker MODEL`."""

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, thread: Any) -> None:
        # RQ's own lets the thread end on all but ConnectionError.
        log.warning("command channel: %s", exc)
        time.sleep(1)

    def request_stop_execution(self, execution_id: str) -> None:
        """RQ's command `stop-execution`, sent by cancel.lua."""
        with self._lock:
            execution = self._attempts.get(execution_id)
        if execution:
            execution.cancel()

    # Start and stop

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        super().bootstrap(*args, **kwargs)
        with suppress(*Outage):
            clean_worker_registry(self.queues[0])  # of the names of workers that were killed
        self._announce()
        self._leases.start()

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """The first signal. Nothing is raised here: BLMOVE may have moved an entry already."""
        self._stopping.set()
        signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
        signal.signal(signal.SIGINT, lambda *_: os._exit(1))

    def teardown(self) -> None:
        log.info("stopping: %d jobs have %g s to finish", self._busy, self.grace)
        with suppress(*Outage):
            registry.withdraw(self.connection, self.name)
        end = time.monotonic() + self.grace
        while (self._busy or self._running()) and time.monotonic() < end:
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
        self._slots.shutdown(wait=False, cancel_futures=True)
        with suppress(*Outage):
            super().teardown()  # type: ignore[no-untyped-call]  # RQ's is not annotated


def _patiently(call: Callable[[], T]) -> T:
    """An outage of Redis is never a failure of the job."""
    while True:
        try:
            return call()
        except Outage as exc:
            log.warning("waiting for redis: %s", exc)
            time.sleep(PAUSE)
