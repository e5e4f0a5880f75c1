"""The confirmer: one greenlet a process that makes sure of jobs which are accepted with a 202, or whose end is told.

So it does of what is written to the archive's index, where that is in Redis.

With `appendfsync everysec` Redis answers before it writes to its append-only file while an fsync is slow, and a SIGKILL
loses what it has not written. For a client that waits the job is submitted again; one that was given a 202 has left. So
the 202 is only given once the job is in the file, and so is the end of an answer that is to be stored, whose client may
look for it. WAITAOF tells that of what its own connection has written last: hence
a connection of our own, on which one small write comes after all jobs that were accepted before it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from redis import Redis, ResponseError

from gateway.mailbox import Mailbox
from shared.errors import StoreUnavailable
from shared.loops import Loops
from shared.protocol import Done
from shared.scripts import script

log = logging.getLogger(__name__)

PATIENCE = 4.0
"""Seconds within which a job must be confirmed."""
_NO_FILE = "Redis has no append-only file (set appendonly yes)"
_NO_FSYNC = "with appendfsync no Redis never tells what is in its append-only file (set appendfsync everysec)"
_TOO_OLD = "Redis does not know WAITAOF (Valkey, and Redis from 7.2 on, do)"


@dataclass(frozen=True, slots=True)
class _Pending:
    """What somebody waits for before he tells it."""

    name: str
    """The id of a job, or what a call is known by."""
    kept: Future[bool] = field(default_factory=Future)
    """Whether it is in the file, or else was lost."""


class Confirmer:
    """Confirms what Redis has been told: all that wait at a time with one write."""

    def __init__(self, client: Redis, loops: Loops) -> None:
        """`client` must not repeat commands: WAITAOF knows nothing of what another connection has written."""
        self._client = client
        self._loops = loops
        self._arrivals: SimpleQueue[_Pending] = SimpleQueue()
        self._batch: list[_Pending] = []
        self._connected: Redis | None = None
        self._known = False
        """Whether the last round went well, and so told what the server can do."""
        self._doubt = ""

    def start(self) -> None:
        self._loops.start("confirmer", self._round)

    def confirm(self, job_id: str) -> None:
        """Return once a job that was accepted is in the append-only file; at once where Redis cannot tell.

        Raises StoreUnavailable when that is not known in time, or Redis has lost the job.
        """
        if not self.is_kept(job_id):
            raise self._unsure()

    def is_kept(self, name: str) -> bool:
        """Whether a job, or what a call has written, is in the append-only file, once that is known; False where it
        was lost, True where Redis cannot tell. Raises StoreUnavailable when it is not known in time.
        """
        pending = _Pending(name)
        self._arrivals.put(pending)
        try:
            return pending.kept.result(PATIENCE)
        except TimeoutError:
            pending.kept.cancel()
            raise self._unsure() from None

    def confirm_end(self, box: Mailbox) -> None:
        """Return once the end of an answer that is to be stored is in the file, or `PATIENCE` is over: it is told then.

        Raises nothing: what is computed is told all the same.
        """
        if isinstance(box.last, Done) and not box.stored:
            with suppress(StoreUnavailable):
                self.confirm(box.job_id)

    def _unsure(self) -> StoreUnavailable:
        log.warning("what was written is not known to be in Redis's append-only file")
        return StoreUnavailable("The queue could not make sure of it. Please try again.")

    def _round(self) -> None:
        """Confirm all that wait. When it fails they wait on: the next round asks whether it is still there."""
        self._batch = [one for one in (*self._batch, *self._take_arrivals()) if not one.kept.cancelled()]
        if self._known and not self._batch:
            return
        self._known = False
        if self._connected is None:
            self._connected = Redis(connection_pool=self._client.connection_pool, single_connection_client=True)
        write = script(self._connected, "written")
        there: Any = write(keys=[], args=[one.name for one in self._batch])
        self._tell(_doubt(self._connected, 0.01 if self._doubt == _NO_FSYNC else PATIENCE))
        for one, kept in zip(self._batch, there, strict=True):
            if one.kept.set_running_or_notify_cancel():
                one.kept.set_result(bool(kept))
        self._batch, self._known = [], True

    def _take_arrivals(self) -> Iterator[_Pending]:
        with suppress(Empty):
            if self._known:
                yield self._arrivals.get(timeout=1)
            while True:
                yield self._arrivals.get_nowait()

    def _tell(self, doubt: str) -> None:
        if doubt and doubt != self._doubt:
            log.warning("202s are not confirmed, and a SIGKILL of Redis may lose their jobs: %s", doubt)
        elif self._doubt and not doubt:
            log.info("202s are confirmed")
        self._doubt = doubt


def _doubt(connected: Redis, patience: float) -> str:
    """Why Redis cannot tell whether the connection's last write is in its file; empty when it is.

    Raises StoreUnavailable when it does not tell within `patience` seconds.
    """
    try:
        local, _ = connected.waitaof(1, 0, int(patience * 1000))
    except ResponseError as exc:
        if "appendonly is disabled" in str(exc):
            return _NO_FILE
        if "unknown command" in str(exc):
            return _TOO_OLD
        raise
    if local:
        return ""
    with suppress(ResponseError):  # not every user may read the configuration
        policy: Any = connected.config_get("appendfsync")
        if policy.get("appendfsync") == "no":
            return _NO_FSYNC
    raise StoreUnavailable(f"Redis did not write to its append-only file within {patience:g} s")
