"""A worker that the agent has started, from its start to its end."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection

from inferq.agent.plan import Occupant
from inferq.agent.stock import Article
from inferq.child import Child
from shared.registry import Worker

_NUMBERS = itertools.count(1)
Spawn = Callable[[str, int | None], subprocess.Popen[bytes]]
"""Starts a worker of a model, by its id, that may have so many bytes of memory; 0: as many as there are. None: it is to
fetch and prepare the model's file, and to load nothing."""


class Tenant:
    """It holds one model, and its share of the memory until it has ended."""

    def __init__(self, article: Article, keep: float, spawn: Spawn, room: int | None) -> None:
        """Start it, with what it needs of the memory, and of the `room` what is of use to it. Where there is none it
        loads nothing: it fetches the file, makes of it what is to be made, and ends. Raises OSError."""
        self.number = next(_NUMBERS)
        self.article = article
        self.keep = keep
        self.started = time.monotonic()
        self.ready_at: float | None = None
        self.failing_since: float | None = None
        """Since when its tries to load the model fail; None while they do not."""
        self.leaving = False
        self.card: Worker | None = None
        """As it has announced itself last."""
        self.fetches = room is None
        """It is to load nothing."""
        self.silence = 0.0
        """Seconds without a sign of life, as far as anybody has looked; see `see`."""
        grant = None if room is None else article.needs + max(0, min(article.spare, room - article.needs))
        self._process = spawn(article.id, grant)
        self._child = Child(f"worker {article.id}", lambda: self._process)
        self._child.adopt(self._process)

    @property
    def pid(self) -> int:
        return self._process.pid

    def see(self, card: Worker | None, seconds: float = 0.0, *, computes: bool = False) -> None:
        """Take in what it has announced of itself, so many `seconds` after the look before, and whether it `computes`:
        of one that was asked to leave this alone is a sign of life."""
        self.card = card or self.card
        now = time.monotonic()
        self.silence = 0.0 if (computes if self.leaving else card) else self.silence + seconds
        if card and card.card and self.ready_at is None:
            self.ready_at = now
        failing = bool(card and card.failing and not card.card)
        self.failing_since = (self.failing_since or now) if failing else None

    @property
    def needs(self) -> int:
        """Bytes of memory that it takes, or has come to take: other weights may have been prepared."""
        return max(self.article.needs, self.card.memory_bytes if self.card else 0)

    @property
    def loads(self) -> bool:
        """Whether it has yet to load its model."""
        return self.ready_at is None and not self.leaving

    @property
    def trouble(self) -> tuple[str, str]:
        """Why it does not serve, in words for everybody, and for those who look after it."""
        return (self.card.reason, self.card.detail) if self.card else ("", "")

    def occupant(self, used: tuple[float, int], busy: Collection[str]) -> Occupant:
        """As the plan sees it; of its model's last use see `Interest`, `busy` are those that have jobs."""
        return Occupant(
            self.number,
            self.article.id,
            self.needs,
            self.ready_at,
            used[0],
            self.article.id in busy,
            self.keep,
            self.leaving,
            used[1],
        )

    def leave(self) -> None:
        """Have it take no further job, finish those that it computes, and end."""
        self._part()
        if self.ready_at is None:
            self._child.terminate()
        else:
            self._signal(signal.SIGUSR1)

    def ended(self) -> str:
        """How it has ended; empty while it has not."""
        return self._child.ended()

    @property
    def status(self) -> int | None:
        """With which it has ended; None while it has not."""
        return self._process.poll()

    def give_up(self) -> None:
        """End it at once: it cannot be waited for."""
        self._part()
        self._child.kill()

    def terminate(self) -> None:
        """Have it finish what it can within the grace, and end."""
        self._child.terminate()

    def join(self, timeout: float) -> None:
        """Wait for the end; kill it after so many seconds."""
        self._child.join(timeout)

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()

    def _part(self) -> None:
        self.leaving, self.silence = True, 0.0

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            os.kill(self.pid, number)


def lives(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
