"""Who may compute beside whom: answers side by side, a suspect alone.

When the engine host dies, any of the answers it computed may be what killed it. So each of them goes on alone: the
one that kills a host alone is the poisonous one and fails, its neighbours do not pay.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from shared.cancellation import Cancellable, wait_for
from shared.errors import JobCancelled


class Quarantine:
    """A lock that many hold together, or one alone. Who waits to be alone goes before those who come later."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._together = 0
        self._suspects = 0
        self._alone = False

    @contextmanager
    def together(self, work: Cancellable) -> Iterator[None]:
        """Raises JobCancelled once `work` is cancelled."""
        with self._changed:
            wait_for(self._changed, lambda: self._suspects == 0, work)
            self._together += 1
        try:
            yield
        finally:
            with self._changed:
                self._together -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self, work: Cancellable) -> Iterator[None]:
        """Raises JobCancelled once `work` is cancelled."""
        with self._changed:
            self._suspects += 1
            try:
                wait_for(self._changed, lambda: self._together == 0 and not self._alone, work)
            except JobCancelled:
                self._suspects -= 1
                self._changed.notify_all()
                raise
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._suspects -= 1
                self._alone = False
                self._changed.notify_all()
