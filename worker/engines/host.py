"""An engine host: the child process in which an engine computes, so that a hostile file or request ends only it.

`EngineHost` is the worker's end; the child's main function begins with `enter` of child.py. They share a private
directory (for a socket, and the log that takes all that the child prints), the child's stdin, on which it gets its
parameters and whose end is its own, and the child's stdout, on which it says that it is ready.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared import memory
from shared.backoff import Backoff
from shared.cancellation import NEVER, Cancellable, wait_for
from shared.errors import HostUnavailable
from shared.loops import Loop
from shared.memory import DoesNotFit, tell
from shared.progress import step
from worker.engines.child import SOCKET
from worker.engines.host_files import HostFiles
from worker.engines.host_process import HostProcess
from worker.engines.pulse import Pulse
from worker.formats.identity import OtherFiles

log = logging.getLogger(__name__)

_PATIENCE, _LEAST_PATIENCE = 600.0, 60.0
"""Seconds that a start may take: the first one, and any other at least."""
_SLOWER = 10
"""How many times as long as one that succeeded a start may take."""
_STABLE = 10.0
"""Seconds after which a host is sound, so that its death is an accident and not the next of a row."""
_FIRST, _LONGEST = 0.5, 30.0
"""Seconds before a host is started again that has died soon, or has not started."""
_TICK = 1.0
"""Seconds between two looks at a host that lives."""
_CONNECTS = 3
"""Lives of a host in a row that may refuse a connection."""


class EngineHost:
    """Runs a host and starts it again whenever it dies, after a pause when that happens repeatedly.

    One that gives no sign of life to those who wait for it, for much longer than it ever did, is killed: see `pulse`.
    `parameters` are handed to the child as JSON. `check` raises OtherFiles where its files are not those any more that
    it is to compute with. Raises ModelLoadError, with the tail of the log, when the first start fails.
    """

    def __init__(
        self, module: str, title: str, parameters: Mapping[str, Any], check: Callable[[], None] = lambda: None
    ) -> None:
        self.pulse = Pulse()
        self._module, self._parameters, self._check = module, {**parameters, "title": title}, check
        self._files = HostFiles(parameters.get("reads", ()), check)
        self._spoiled = 0
        """The last life whose files were changed under it."""
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._process: HostProcess  # of the present life, or of the last one
        self._started = 0  # how often the host became ready
        self._buried = 0  # how often it died after that
        self._epitaph = ""
        self._failures = 0
        self._failure = ""
        self.stale = False
        """Whether the last try to start it again failed for that its files are others now."""
        self._patience = _PATIENCE
        self._most = 0
        """Bytes that it has had in memory."""
        self._backoff = Backoff(_FIRST, _LONGEST)
        self._start()
        self._watcher = Loop("engine-host", self._watch)
        self._watcher.start()

    @property
    def alive(self) -> bool:
        return self._started > self._buried

    @property
    def life(self) -> int:
        """The number of the one that lives, or will next: what one has computed, the next does not know."""
        return self._started if self.alive else self._started + 1

    @property
    def trouble(self) -> str:
        """Why the last try to start it again failed; empty while it lives, and before that try."""
        return "" if self.alive else self._failure

    @property
    def missing(self) -> str:
        """What the system does not have of the host's sandbox; empty when it is whole."""
        return self._process.missing

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def directory(self) -> Path:
        """Of its present life."""
        return self._process.directory

    def connect(self, work: Cancellable = NEVER) -> tuple[socket.socket, int]:
        """A connection to the host's socket, and the number of its life, for `obituary`.

        Waits while the host is being started again. One that does not let anybody connect is ended: it has not heard of
        the job, which must not be blamed for it.

        Raises:
            HostUnavailable: a start failed, or a host that has started cannot be reached.
            JobCancelled: `work` was cancelled.
        """
        for _ in range(_CONNECTS):
            life, path = self._wait_ready(work)
            try:
                connection = socket.socket(socket.AF_UNIX)
            except OSError as exc:
                raise HostUnavailable(f"the worker cannot open a socket: {exc}") from exc
            try:
                with self.pulse.expect():
                    connection.connect(str(path))
                return connection, life
            except OSError as exc:
                connection.close()
                self._kill(life, f"did not take a connection ({exc.strerror})")
                self.obituary(life)
        raise HostUnavailable("the engine host cannot be reached")

    def obituary(self, life: int) -> str:
        """How the host's `life` ended, with the tail of its log; for somebody whose connection to it broke.

        Raises HostUnavailable where its files were changed under it, which is no fault of any job.
        """
        with self._changed:
            if self._changed.wait_for(lambda: self._buried >= life, timeout=1.0):
                if self._spoiled == life:
                    raise HostUnavailable(self._epitaph)
                return self._epitaph
        return f"the engine host closed the connection; {self._process.tail()}"

    def close(self) -> None:
        """End the host and remove its directory."""
        self._closing.set()
        self._process.kill()
        self._watcher.stop(timeout=None)
        self._process.bury()

    def _wait_ready(self, work: Cancellable) -> tuple[int, Path]:
        """The number of the host's life, and its socket."""
        with self._changed:
            failures = self._failures
            wait_for(self._changed, lambda: self.alive or self._closing.is_set() or self._failures > failures, work)
            if self._closing.is_set():
                raise HostUnavailable("the engine is closed")
            if not self.alive:
                raise HostUnavailable(self._failure)
            return self._started, self._process.directory / SOCKET

    def _kill(self, life: int, verdict: str) -> None:
        """End one life, unless it is over already."""
        with self._changed:
            if self.alive and self._started == life:
                self._process.kill(verdict)

    def _watch(self) -> None:
        """A step of the watcher: look at the host that lives for a second, or start it again."""
        if self.alive:
            self._look()
        elif not self._closing.wait(self._backoff.pause):
            self._revive()

    def _look(self) -> None:
        if not self._process.speaks(_TICK):
            self._most = max(self._most, self._process.resident())
            if silence := self.pulse.look(_TICK, self._process.spent()):
                self._process.kill(f"was silent for {silence:.0f} s while it had work")
            elif self._files.look():
                self._process.kill("computed with what is not its model any more")
            self._process.shorten_log()
            return
        epitaph, spoiled = self._process.bury(), self._files.look()
        with self._changed:
            self._epitaph, self._failure = f"{spoiled}; {epitaph}" if spoiled else epitaph, ""
            self._buried = self._started
            self._spoiled = self._buried if spoiled else self._spoiled
            self._changed.notify_all()
        if time.monotonic() - self._born > _STABLE:
            self._backoff.reset()
        else:
            self._backoff.fail()

    def _revive(self) -> None:
        try:
            self._start()
        except Exception as exc:
            if self._closing.is_set():
                return
            with self._changed:
                self._failure, self._failures = str(exc), self._failures + 1
                self.stale = isinstance(exc, OtherFiles)
                self._changed.notify_all()
            self._backoff.fail()
            raise  # for the loop to log and count

    def _start(self) -> None:
        self._files.open()
        if self._buried and self._process.starved and self._most > (there := memory.budget()).free:  # or it dies again
            raise DoesNotFit(f"it was killed for want of memory: it takes {tell(self._most)}, and there are {there}")
        self._process, self._born = HostProcess(self._module), time.monotonic()
        if self._closing.is_set():
            self._process.kill()
        with step("its weights are being read", _size(self._parameters.get("reads", ())), self._process.resident):
            pace = self._process.greet(self._parameters, self._patience)
        try:
            self._check()  # it may have read what came into their place since
        except OtherFiles:
            self._process.kill()
            self._process.bury()
            raise
        self.pulse.begin(pace)
        if self.missing and not self._started:
            log.warning("the engine host is not confined as it should be: the system lacks %s", self.missing)
        self._patience = min(_PATIENCE, max(_LEAST_PATIENCE, _SLOWER * (time.monotonic() - self._born)))
        with self._changed:
            self.stale = False
            self._started += 1
            self._changed.notify_all()


def _size(paths: Iterable[str]) -> int:
    """Bytes of the files, as far as they are there."""
    size = 0
    for path in paths:
        with suppress(OSError):
            size += Path(path).stat().st_size
    return size
