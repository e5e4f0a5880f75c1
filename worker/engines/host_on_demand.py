"""A host that few need: it is started for the first who does, and ended when nobody has for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.cancellation import Cancellable, wait_for
from shared.errors import HostUnavailable, ModelLoadError
from shared.memory import DoesNotFit
from worker.engines.host import EngineHost
from worker.formats.identity import OtherFiles

IDLE = 60.0
"""Seconds after which a host ends that nobody needs."""


class HostOnDemand:
    """`start` makes the host."""

    def __init__(self, start: Callable[[], EngineHost]) -> None:
        self._start = start
        self._changed = threading.Condition()
        self._host: EngineHost | None = None
        self._starting = self._closed = False
        self._failure: ModelLoadError | None = None
        """Why the last start failed."""
        self._users = 0
        self._timer: threading.Timer | None = None

    @property
    def pid(self) -> int | None:
        """None while there is none."""
        host = self._host
        return host.pid if host else None

    @property
    def stale(self) -> bool:
        """Whether it could not be started, or not again, for that its files are others now."""
        host = self._host
        return host.stale if host else isinstance(self._failure, OtherFiles)

    @contextmanager
    def use(self, work: Cancellable) -> Iterator[EngineHost]:
        """The host, which does not end meanwhile unless it dies.

        Raises JobCancelled once `work` is cancelled, HostUnavailable where it cannot be started, and DoesNotFit where
        that is for want of memory, which another try would not find either.
        """
        host = self._enter(work)
        try:
            if self._closed:  # while it was started
                raise HostUnavailable("the engine is closed")
            yield host
        finally:
            self._leave()

    def close(self) -> None:
        """End the host; it is not started again."""
        with self._changed:
            self._closed = True
        self._end()

    def _enter(self, work: Cancellable) -> EngineHost:
        with self._changed:
            if self._timer:
                self._timer.cancel()
            self._users += 1
            try:
                if not (self._host or self._starting or self._closed):
                    self._starting, self._failure = True, None
                    threading.Thread(target=self._launch, daemon=True).start()
                wait_for(self._changed, lambda: not self._starting, work)
                if self._host and not self._closed:
                    return self._host
                if isinstance(failure := self._failure, DoesNotFit) and not self._closed:
                    raise type(failure)(failure.message)
                raise HostUnavailable(str(failure or "the engine is closed"))
            except BaseException:
                self._leave()
                raise

    def _launch(self) -> None:
        """In a thread of its own, for it takes a while, in which who waits for it may be cancelled."""
        host: EngineHost | None = None
        failure = ModelLoadError("the host cannot be started")
        try:
            host = self._start()
        except ModelLoadError as exc:
            failure = exc
        finally:
            with self._changed:
                self._host, self._starting, self._failure = host, False, None if host else failure
                self._rest()
                self._changed.notify_all()

    def _leave(self) -> None:
        with self._changed:
            self._users -= 1
            self._rest()

    def _rest(self) -> None:
        """Have the host ended after a while, if nobody needs it."""
        if self._host and not self._users:
            self._timer = threading.Timer(0.0 if self._closed else IDLE, self._end)
            self._timer.daemon = True
            self._timer.start()

    def _end(self) -> None:
        with self._changed:
            if self._starting or (self._users and not self._closed):
                return  # whoever starts it sees that it is closed
            host, self._host = self._host, None
        if host:
            host.close()
