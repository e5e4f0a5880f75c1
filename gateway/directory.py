"""The directory of served models as this process knows it, and the gateway's share of the sweep.

A request may name a model by its id or by an alias. Where two models claim a name, the one whose id it is has it, and
else the one whose id comes first in the alphabet: every gateway decides the same.
"""

from __future__ import annotations

from msgspec.structs import replace
from redis import Redis

from gateway import abilities
from shared import census, registry
from shared.config import Config
from shared.context import check_size
from shared.errors import ModelNotFound
from shared.loops import Loops, for_each
from shared.protocol import Task
from shared.recommendation import complete
from shared.registry import Card
from shared.store import translated
from shared.tickets import Tickets, sweep_pause


class Directory:
    """Models by id. Workers come and go; what a model can do is read off its card."""

    def __init__(self, client: Redis, tickets: Tickets, loops: Loops, config: Config) -> None:
        self._loops = loops
        self._client = client
        self._tickets = tickets
        self._config = config
        self._lease_ms = int(config.lease * 1000)
        self._models: dict[str, Card] = {}

    def start(self) -> None:
        self._loops.start("directory", self._look, pause=1.0)
        self._loops.start("sweep", self._sweep, pause=sweep_pause(self._lease_ms))

    def models(self) -> dict[str, Card]:
        """The served models by id, read afresh. Raises StoreUnavailable."""
        with translated():
            self._models = registry.models(self._client)
        return self._models

    def find(self, name: str) -> Card:
        """The model of that id or alias. Raises ModelNotFound, naming the models that exist, and StoreUnavailable."""
        card = _lookup(name, self._models) or _lookup(name, self.models())
        if card is None:
            names = ", ".join(self._models) or "none at the moment"
            raise ModelNotFound(f"The model {name!r} does not exist. Models that exist: {names}.", param="model")
        return card

    def default(self) -> Card:
        """The model for requests that name none: the first one by its id. Raises ModelNotFound, StoreUnavailable."""
        models = self._models or self.models()
        if not models:
            raise ModelNotFound("No model is served at the moment.", param="model")
        return next(iter(models.values()))

    def largest_body(self) -> int:
        """Bytes of the largest body that a request may have now. Raises StoreUnavailable."""
        models = self._models or self.models()
        return self._config.largest_body(max((card.context for card in models.values()), default=0))

    def known_id(self, name: str) -> str:
        """The id of the model that was lately seen under a name; empty when none was. Asks nobody."""
        card = _lookup(name, self._models)
        return card.id if card else ""

    def admit(self, task: Task) -> Task:
        """The task with its model's id for the name that the request gave, and how it recommends to choose tokens.

        That is written down with the job: whoever goes on with its answer chooses in the same way.

        Raises ModelNotFound, and InvalidRequest where the model cannot do what the task asks, or it is too large.
        """
        card = self.find(task.model)
        abilities.check(task, card)
        check_size(task, card)
        return replace(task, model=card.id, sampling=complete(task.sampling, card.sampling))

    def _look(self) -> None:
        self._models = registry.models(self._client)

    def _sweep(self) -> None:
        """With all workers dead somebody still has to expire jobs and requeue those of the dead."""
        self._tickets.lapse()
        for_each(census.models(self._tickets.client), lambda model: self._tickets.sweep(model, self._lease_ms))


def _lookup(name: str, models: dict[str, Card]) -> Card | None:
    return models.get(name) or next((card for card in models.values() if name in card.aliases), None)
