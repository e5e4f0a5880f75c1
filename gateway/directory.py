"""The directory of models as this process knows it, and the gateway's share of the sweep.

A request may name a model by its id or by an alias. Where two models claim a name, the one whose id it is has it, and
else the one whose id comes first in the alphabet; one that is refused leaves it to others. Every gateway decides alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import NoReturn

from msgspec.structs import replace
from redis import Redis

from gateway.likelihoods import check_echo, check_likelihoods
from gateway.offers import Offer, Readiness, lookup, offers
from shared import abilities, agents, census, registry
from shared.abilities import MOST_NAMED
from shared.card import Ability
from shared.config import Config
from shared.context import check_size
from shared.errors import ModelNotFound, ModelUnavailable, NoWorker
from shared.loops import Loops, for_each
from shared.nearest import LONGEST_NAME, suggestion
from shared.parameters import check_parameters
from shared.protocol import PoolingTask, Progress, Task, TextTask
from shared.recommendation import complete
from shared.registry import Worker
from shared.store import Outage, translated
from shared.tickets import Tickets, sweep_pause
from shared.version import VERSION

_NOTHING: Mapping[str, float] = MappingProxyType({})


class Directory:
    """Models by id. Workers come and go; what a model can do is read off its card."""

    def __init__(self, client: Redis, tickets: Tickets, loops: Loops, config: Config) -> None:
        self._loops = loops
        self._client = client
        self._tickets = tickets
        self._config = config
        self._lease_ms = int(config.lease * 1000)
        self._expected = config.expected
        self._offers: dict[str, Offer] = {}
        self._workers: list[Worker] = []

    def start(self) -> None:
        self._loops.start("directory", self._look, pause=1.0)
        self._loops.start("sweep", self._sweep, pause=sweep_pause(self._lease_ms))

    def offers(self) -> list[Offer]:
        """The models that requests may ask for, by their ids, read afresh. Raises StoreUnavailable."""
        return [offer for offer in self._read().values() if not offer.refusal]

    def listed(self) -> list[Offer]:
        """The same, and those that agents offer and could not load. Raises StoreUnavailable."""
        return [offer for offer in self._read().values() if offer.on_demand or not offer.refusal]

    @property
    def on_demand(self) -> list[str]:
        """The ids of the models that agents load when they are asked for, as far as was lately seen. Asks nobody."""
        return sorted(offer.card.id for offer in self._offers.values() if offer.on_demand and not offer.refusal)

    def arrival(self, model: str) -> Progress | None:
        """Bytes of a model that have arrived, as far as was lately seen; None while it is not fetched. Asks nobody."""
        found = (worker for worker in self._workers if worker.model == model and worker.to_fetch and not worker.card)
        return next((Progress(worker.fetched, worker.to_fetch) for worker in found), None)

    def ask_to_stay(self, model: str, seconds: float) -> bool:
        """Have a model stay loaded for so long though nobody asks for it. Whether an agent is there to do so."""
        if model not in self.on_demand:
            return False
        with suppress(*Outage):
            agents.ask_to_stay(self._client, model, seconds)
        return True

    def find(self, name: str) -> Offer:
        """The model of that id or alias.

        Raises ModelNotFound, naming the models that exist, ModelUnavailable, NoWorker and StoreUnavailable.
        """
        offer = lookup(name, self._offers)
        if offer is None or offer.refusal:
            offer = lookup(name, self._read())
        return self._check(offer) if offer else self._miss(name)

    def tell(self, name: str) -> Offer:
        """The same, also where an agent could not load it. Raises what `find` does."""
        offer = lookup(name, self._read())
        return offer if offer and offer.on_demand else self.find(name)

    def failing(self) -> dict[str, str]:
        """The ids of models that no worker can load, as far as was lately seen, and why. Asks nobody."""
        refused = (offer for offer in self._offers.values() if offer.refusal)
        return {offer.card.id: offer.refusal for offer in refused if offer.status is Readiness.FAILED}

    def default(self, task: Task | None = None) -> Offer:
        """The model for requests that name none: the first one by its id, of those that can do the task, or write texts
        where it asks for nothing that some cannot do, and of those that have been loaded, where any has.

        Raises ModelUnavailable, NoWorker, StoreUnavailable.
        """

        def order(offer: Offer) -> tuple[bool, bool, bool]:
            lack = abilities.find_lack(task, offer.card) if task else None
            vain = lack is not None or not (isinstance(task, PoolingTask) or abilities.writes(offer.card))
            return bool(offer.refusal), vain, not offer.card.context

        offer = min((self._offers or self._read()).values(), key=order, default=None)
        if offer is None:
            raise _lonely()
        return self._check(offer)

    def largest_body(self) -> int:
        """Bytes of the largest body that a request may have now. Raises StoreUnavailable."""
        contexts = [offer.card.context for offer in (self._offers or self._read()).values() if not offer.refusal]
        return self._config.largest_body(None if 0 in contexts else max(contexts, default=0))

    def look_around(self, *, afresh: bool) -> tuple[list[Offer], list[Worker]]:
        """All models, refused ones too, in the order of their ids, and the workers: now, or as they were lately seen.

        Raises what Redis does.
        """
        if afresh:
            self._look()
        return sorted(self._offers.values(), key=lambda offer: offer.card.id), self._workers

    def known_id(self, name: str) -> str:
        """The id of the model that was lately seen under a name; empty when none was. Asks nobody."""
        offer = lookup(name, self._offers)
        return offer.card.id if offer else ""

    def admit(self, task: Task, usual: Mapping[str, float] = _NOTHING) -> Task:
        """The task with its model's id for the name that the request gave, or the default one's, and how the model
        recommends to choose tokens, or else what is `usual` there.

        That is written down with the job: whoever goes on with its answer chooses in the same way.

        Raises what `find` does, and InvalidRequest where the model cannot do what the task asks, or it is too large: as
        far as that is known before the model is loaded.
        """
        card = (self.find(task.model) if task.model else self.default(task)).card
        abilities.check(task, card, (offer.card for offer in self._offers.values() if not offer.refusal))
        check_parameters(task, card)
        check_size(task, card)
        check_likelihoods(task, card, self._config)
        check_echo(task)
        task = abilities.spare(task, card)
        if isinstance(task, TextTask):
            task = replace(task, sampling=complete(complete(task.sampling, card.sampling), usual))
        return replace(task, model=card.id)

    def ignored(self, model: str, needs: Mapping[str, Ability]) -> list[str]:
        """What asks for nothing of a model that was lately seen, by its id, and needs an ability. Asks nobody."""
        offer = self._offers.get(model)
        if offer is None or not offer.card.context:  # an outline does not tell
            return []
        return [name for name, ability in needs.items() if ability not in offer.card.abilities]

    def fingerprint(self, model: str) -> str:
        """Of what serves a model now, by its id: the release, and the model's files. Asks nobody."""
        offer = self._offers.get(model)
        return "-".join(filter(None, ("inferq", VERSION, offer.card.digest if offer else "")))

    def _look(self) -> None:
        client = self._client
        cards, workers, queues = registry.models(client), registry.workers(client), census.models(client)
        known = offers(cards, workers, queues, self._expected, agents.agents(client))
        self._offers, self._workers = known, workers

    def _read(self) -> dict[str, Offer]:
        with translated():
            self._look()
        return self._offers

    def _check(self, offer: Offer) -> Offer:
        if offer.refusal:
            error = ModelUnavailable(offer.refusal, param="model")
            error.permanent = offer.lasting
            raise error
        return offer

    def _miss(self, name: str) -> NoReturn:
        if not self._offers or any(offer.vague and not offer.refusal for offer in self._offers.values()):
            raise _lonely()
        names = {each: offer for offer in self._offers.values() for each in offer.names}
        hint = self._name_adapters(name) or suggestion(name, names)
        # What cannot be served is of use to nobody here but to who has asked for nearly that.
        there = [
            f"{each} (loading)" if offer.status is Readiness.LOADING else each
            for each, offer in names.items()
            if not offer.refusal
        ]
        more = f", and {len(there) - MOST_NAMED} more" if len(there) > MOST_NAMED else ""
        told = f"Models that exist: {', '.join(there[:MOST_NAMED])}{more}." if there else "No model can be served now."
        asked = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
        raise ModelNotFound(f"The model {asked!r} does not exist.{hint} {told}", param="model")

    def _name_adapters(self, name: str) -> str:
        """What there is of the model of which an adapter was asked for, by that name."""
        cards = [offer.card for offer in self._offers.values()]
        base = next((card.id for card in cards for each in (card.id, *card.aliases) if name.startswith(f"{each}:")), "")
        there = [card.id for card in cards if base and card.base == base]
        return f" Adapters of {base}: {', '.join(there[:MOST_NAMED])}." if there else ""

    def _sweep(self) -> None:
        """With all workers dead somebody still has to expire jobs and requeue those of the dead."""
        self._tickets.lapse()
        for_each(census.models(self._tickets.client), lambda model: self._tickets.sweep(model, self._lease_ms))


def _lonely() -> NoWorker:
    return NoWorker("No worker has come yet that serves such a model. Please try again soon.", param="model")
