"""A host that few need: it is started for the first who does, and ended when nobody has for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.cancellation import Cancellable, wait_for
from shared.errors import HostUnavailable, ModelLoadError
from worker.engines.host import EngineHost

IDLE = 60.0
"""Seconds after which a host ends that nobody needs."""


class HostOnDemand:
    """`start` makes the host."""

    def __init__(self, start: Callable[[], EngineHost]) -> None:
        self._start = start
        self._changed = threading.Condition()
        self._host: EngineHost | None = None
        self._starting = self._closed = False
        self._users = 0
        self._timer: threading.Timer | None = None

    @property
    def pid(self) -> int | None:
        """None while there is none."""
        host = self._host
        return host.pid if host else None

    @contextmanager
    def use(self, work: Cancellable) -> Iterator[EngineHost]:
        """The host, which does not end meanwhile unless it dies.

        Raises JobCancelled once `work` is cancelled, and HostUnavailable where it cannot be started.
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
            wait_for(self._changed, lambda: not self._starting, work)
            if self._closed:
                raise HostUnavailable("the engine is closed")
            if self._timer:
                self._timer.cancel()
            self._users += 1
            if self._host:
                return self._host
            self._starting = True
        host: EngineHost | None = None
        try:
            host = self._start()
        except ModelLoadError as exc:
            raise HostUnavailable(str(exc)) from exc
        finally:
            with self._changed:
                self._host, self._starting = host, False
                self._users -= host is None
                self._changed.notify_all()
        return host

    def _leave(self) -> None:
        with self._changed:
            self._users -= 1
            if self._users:
                return
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
