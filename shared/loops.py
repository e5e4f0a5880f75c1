"""The one way to run a loop that must not end.

A loop survives every exception of its step: it logs the first of a row and one a minute, counts them all, and tries
again after a pause that grows. While it keeps failing its process says that it is not ready. What concerns one job only
has a guard of its own inside the step, so that it fails that job and not the loop.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from shared import disturbance
from shared.backoff import Backoff
from shared.disturbance import Disturbance
from shared.errors import InferqError

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST, _LONGEST = 0.2, 1.0
"""Seconds before a step that has failed is tried again."""
_PATIENCE = 3
"""Failures in a row after which a loop is taken to keep failing."""


class Loop:
    """Calls `step` again and again, `pause` seconds after it has returned, in a thread of its own.

    Where gevent has patched the standard library the thread is a greenlet.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], None],
        *,
        pause: float = 0.0,
        on_error: Callable[[str], None] = lambda name: None,
    ) -> None:
        """`on_error` is called with the loop's name at each failure; it must not raise."""
        self.name = name
        self.errors = 0
        """How often the step has failed."""
        self._step = step
        self._pause = pause
        self._on_error = on_error
        self._backoff = Backoff(_FIRST, _LONGEST)
        self._reason = ""
        self._disturbance = self._own = Disturbance(log, name)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float | None = 0.0) -> None:
        """Begin no further step, and wait for the end of the running one for up to `timeout` seconds."""
        self._stopped.set()
        self.join(timeout)

    def join(self, timeout: float | None) -> None:
        """Wait until it has ended, for up to `timeout` seconds; for a step that stops its loop itself."""
        if threading.current_thread() is not self._thread and self._thread.ident is not None:
            self._thread.join(timeout)

    @property
    def stopped(self) -> bool:
        """Whether it is to end: for a step that waits for something else."""
        return self._stopped.is_set()

    @property
    def trouble(self) -> str:
        """Why it keeps failing; empty while it works, and for its first failures. One that tells its own does work."""
        if self._backoff.failures < _PATIENCE or threading.current_thread() is self._thread:
            return ""
        return f"{self.name}: {self._reason}"

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._step()
            except Exception as exc:  # noqa: BLE001 - whatever it is, the loop goes on; it is logged
                self._backoff.fail()
                self._note_failure(exc)
                self._stopped.wait(self._backoff.pause)
            else:
                self._note_success()
                if self._pause:
                    self._stopped.wait(self._pause)

    def _note_failure(self, exc: Exception) -> None:
        self.errors += 1
        self._reason = f"{type(exc).__name__}: {exc}"
        away = _is_outage(exc)
        trace = None if away or isinstance(exc, InferqError) else exc
        self._disturbance = disturbance.redis if away else self._own
        who = f"{self.name} " if away else ""
        self._disturbance.fail(f"{who}fails, and will be tried again: {self._reason}", error=trace)
        self._on_error(self.name)

    def _note_success(self) -> None:
        if self._backoff.failures:
            self._own.end()
            self._disturbance.end()
        self._backoff.reset()
        self._reason = ""


def _is_outage(exc: Exception) -> bool:
    """Nothing that Redis's client raises comes where nobody has imported it, as in commands: that takes 0.1 s."""
    store = sys.modules.get("shared.store")
    return store is not None and isinstance(exc, store.Outage)


def for_each(items: Iterable[T], work: Callable[[T], object]) -> None:
    """Do the work of every item, whatever happens to one of them; then raise the first error."""
    first: Exception | None = None
    for item in items:
        try:
            work(item)
        except Exception as exc:  # noqa: BLE001 - raised below
            first = first or exc
    if first:
        raise first


class Loops:
    """The loops of one process."""

    def __init__(self, count: Callable[[str, int], None] = lambda name, by: None) -> None:
        """`count` is told by how many each loop's failures grow, by its name: by none when it starts."""
        self._count = count
        self._loops: list[Loop] = []

    def start(self, name: str, step: Callable[[], None], *, pause: float = 0.0) -> Loop:
        """Run a loop from now on. Names are a fixed set: they label a metric."""
        self._count(name, 0)
        loop = Loop(name, step, pause=pause, on_error=lambda name: self._count(name, 1))
        self._loops.append(loop)
        loop.start()
        return loop

    @property
    def trouble(self) -> str:
        """Which loops keep failing, and why; empty while none does."""
        return "; ".join(filter(None, (loop.trouble for loop in self._loops)))

    def errors(self) -> dict[str, int]:
        """How often each loop has failed."""
        return {loop.name: loop.errors for loop in self._loops}
