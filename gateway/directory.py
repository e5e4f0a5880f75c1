"""The directory of served models as this process knows it, and the gateway's share of the sweep."""

from __future__ import annotations

import logging

import gevent
from redis import Redis

from shared import registry
from shared.config import Config
from shared.errors import InvalidRequest, ModelNotFound
from shared.protocol import Chat, Task
from shared.registry import Card
from shared.store import Outage, translated
from shared.tickets import Tickets

log = logging.getLogger(__name__)


class Directory:
    """Models by id. Workers come and go; what a model can do is read off its card."""

    def __init__(self, client: Redis, tickets: Tickets, config: Config) -> None:
        self._client = client
        self._tickets = tickets
        self._lease_ms = int(config.lease * 1000)
        self._models: dict[str, Card] = {}

    def start(self) -> None:
        gevent.spawn(self._loop)

    def models(self) -> dict[str, Card]:
        """The served models by id, read afresh. Raises StoreUnavailable."""
        with translated():
            self._models = registry.models(self._client)
        return self._models

    def find(self, model: str) -> Card:
        """Raises ModelNotFound, naming the models that exist."""
        card = self._models.get(model) or self.models().get(model)
        if card is None:
            names = ", ".join(self._models) or "none at the moment"
            raise ModelNotFound(f"The model {model!r} does not exist. Models that exist: {names}.", param="model")
        return card

    def knows(self, model: str) -> bool:
        """Whether the model has been seen lately; asks nobody."""
        return model in self._models

    def admit(self, task: Task) -> None:
        """Check that the task's model exists and can do what the task asks. Raises ModelNotFound or InvalidRequest."""
        card = self.find(task.model)
        if isinstance(task, Chat) and "chat" not in card.capabilities:
            raise InvalidRequest(
                f"The model {task.model!r} has no chat template; use /v1/completions with it.",
                param="model",
                code="unsupported_value",
            )

    def _loop(self) -> None:
        # With all workers dead somebody still has to expire jobs and requeue those of the dead, hence the sweep.
        while True:
            try:
                self._models = registry.models(self._client)
                for model in self._tickets.models():
                    self._tickets.sweep(model, self._lease_ms)
            except Outage as exc:
                log.warning("housekeeping: %s", exc)
            gevent.sleep(1)
