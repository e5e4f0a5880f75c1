"""What keeps models from being loaded, when they are tried again, and what those are told who wait for them."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from uuid import uuid4

from redis import Redis

from inferq.agent.stock import Article, Mark
from shared.addition import addition
from shared.backoff import Backoff
from shared.errors import ModelUnavailable
from shared.protocol import Failed
from shared.ticket import LeftForOthers
from shared.tickets import Tickets

log = logging.getLogger("inferq.agent")

_FIRST, _LONGEST = 10.0, 600.0
"""Seconds before a model is tried again that could not be loaded."""
_STUMBLES = 3
"""How often in a row a worker may end while it loads, before its model counts as one that cannot be loaded."""
_MOST_TOLD = 100
"""Jobs that are ended at a time; the others a moment later."""
_LEASE_MS = 10_000


@dataclass(slots=True)
class Obstacle:
    """Of one model, as long as its file stays as it is."""

    mark: Mark
    backoff: Backoff = field(default_factory=lambda: Backoff(_FIRST, _LONGEST))
    reason: str = ""
    until: float = 0.0
    """When it may be tried again (monotonic)."""
    stumbles: int = 0


class Obstacles:
    """Those of an agent."""

    def __init__(self, client: Redis, name: str) -> None:
        self._tickets = Tickets(client)
        self._name = name
        self._found: dict[str, Obstacle] = {}

    def of(self, article: Article) -> str:
        """Why a model cannot be loaded now, in words for everybody; empty where nothing speaks against it."""
        if article.fault:
            return article.fault
        found = self._found.get(article.id)
        return found.reason if found and time.monotonic() < found.until else ""

    def fail(self, article: Article, reason: str, detail: str) -> None:
        """A worker has tried for long enough."""
        found = self._of(article)
        if time.monotonic() < found.until:
            return
        found.reason, found.stumbles = reason, 0
        pause = found.backoff.fail()
        found.until = time.monotonic() + pause
        log.error("%s cannot be loaded, not again before %g s: %s", article.id, pause, detail or reason)

    def stumble(self, article: Article, reason: str) -> None:
        """A worker has ended before it had loaded the model."""
        found = self._of(article)
        found.stumbles += 1
        if found.stumbles >= _STUMBLES:
            self.fail(article, reason, "")

    def clear(self, article: Article) -> None:
        """It is loaded."""
        self._found.pop(article.id, None)

    def look(self, article: Article) -> None:
        """What was said of another file is forgotten."""
        if (found := self._found.get(article.id)) and found.mark != article.mark:
            del self._found[article.id]

    def tell(self, models: dict[str, str]) -> None:
        """End the jobs that wait for these models, each with the reason."""
        for model, reason in models.items():
            error = ModelUnavailable(f"The model {model!r} cannot be served: {reason.rstrip('.')}.", param="model")
            for _ in range(_MOST_TOLD):
                if not self._end_one(model, Failed(error.code, error.message, error.param)):
                    break

    def _end_one(self, model: str, last: Failed) -> bool:
        """The next job that waits is begun, and ends at once: so it is fenced as any other one. False: none waits."""
        execution = uuid4().hex
        claim = self._tickets.claim(model, "", execution, lease_ms=_LEASE_MS, worker=self._name)
        if claim is None or isinstance(claim, LeftForOthers):
            return False
        extra = addition(claim.job_id, execution, first=claim.seq + 1, events=[last], generates=False)
        self._tickets.append(model, [extra])
        return True

    def _of(self, article: Article) -> Obstacle:
        return self._found.setdefault(article.id, Obstacle(article.mark))
