"""The agent: it looks who is asked for, makes room, and starts and ends workers."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from redis import Redis

from inferq.agent.departures import Departures
from inferq.agent.growth import Growth, IdleCores
from inferq.agent.household import Household
from inferq.agent.interest import Interest
from inferq.agent.notice import Notice
from inferq.agent.obstacles import Obstacles
from inferq.agent.plan import Applicant, HouseRules, decide
from inferq.agent.room import MemoryGauge
from inferq.agent.stock import Article, Stock
from inferq.agent.tenant import Spawn
from shared import agents, census, registry
from shared.agents import ModelOnDemand, ModelState
from shared.catalogue.lasting import ALWAYS
from shared.census import Demand
from shared.config import Config
from shared.memory import tell
from shared.pid_space import pid_space
from shared.registry import Worker

log = logging.getLogger("inferq.agent")

PAUSE = 0.1
"""Seconds between two looks at who is asked for."""
_LOOK = 3.0
"""Seconds between two looks at the files."""
_LONG_LOAD = 30.0
"""Seconds after which a model that still loads keeps no other one from it."""
MOST_FETCHED = 3
"""Models whose files are fetched or prepared at once."""
_REMOTE = 1.0
"""Seconds that a model waits for a machine that has its file before one takes it that has not."""


class MachineAgent:
    """That of one machine. `step` is to be called again and again; it raises what Redis does, and OSError."""

    def __init__(
        self,
        name: str,
        client: Redis,
        stock: Stock,
        spawn: Spawn,
        config: Config,
        folder: Path,
    ) -> None:
        """`folder` is the data directory."""
        self.name = name
        self._client = client
        self._stock = stock
        self._config = config
        self._space = pid_space()
        self._obstacles = Obstacles(client, name)
        self.house = Household(name, client, stock, self._obstacles, spawn, config)
        self._interest = Interest()
        self._growth, self._idle = Growth(), IdleCores()
        self._departures = Departures(folder / "offered.json", config.models)
        self._notice = Notice(client, name, socket.gethostname())
        self._gauge = MemoryGauge(config)
        self._looked = -_LOOK

    def step(self) -> None:
        """Look around, and do what is to be done now."""
        if time.monotonic() - self._looked >= _LOOK:
            self._look()
        budget = self._gauge.budget(sum(each.card.memory_bytes for each in self.house.seated if each.card))
        workers = registry.workers(self._client)
        self.house.tend(workers)
        self.house.note_stays()
        demand = census.demand(self._client, self._stock.articles)
        served = self._served(workers)
        self._interest.note(demand, self._wanted(demand) - served)
        self._arrange(demand, budget)
        self._obstacles.tell(self._asked_in_vain(demand) | self._left_behind(served))
        self._notice.say(self.offers(), budget, budget - sum(each.needs for each in self.house.seated))
        self.house.forget_stays()

    def offers(self) -> list[ModelOnDemand]:
        """The models of this machine, in the order of their names."""
        return [self._offer(article) for _, article in sorted(self._stock.articles.items())]

    # What there is

    def _look(self) -> None:
        self._looked = time.monotonic()
        if not self._stock.look():
            self._stock.weigh_next()
        for tenant in self.house.tenants:  # always: an outage may have kept it from some of them when they changed
            article = self._stock.articles.get(tenant.article.id)
            if not tenant.leaving and (article is None or article.differs(tenant.article)):
                self.house.ask_to_leave(tenant, f"its file has {'changed' if article else 'gone'}")
        for article in self._stock.articles.values():
            self._obstacles.look(article)
        self._departures.look(self._stock.articles)

    def _wanted(self, demand: Mapping[str, Demand]) -> set[str]:
        """The models that are to have a worker."""
        always = {article.id for article in self._stock.articles.values() if self._stock.keep(article) == ALWAYS}
        return always | {model for model, asked in demand.items() if asked.waiting}

    def _served(self, workers: Iterable[Worker]) -> set[str]:
        """The models that have one, or will soon."""
        own = {tenant.article.id for tenant in self.house.tenants if not tenant.leaving}
        mine = {tenant.pid for tenant in self.house.tenants}
        others = (worker for worker in workers if worker.space != self._space or worker.pid not in mine)
        return own | {worker.model for worker in others if not worker.failing}

    # What is to be done

    def _arrange(self, demand: Mapping[str, Demand], budget: int) -> None:
        now = time.monotonic()
        seated = self.house.seated
        loading = any(tenant.loads and now - tenant.started < _LONG_LOAD for tenant in seated)
        busy = {model for model, asked in demand.items() if asked.waiting or asked.running}
        occupants = [each.occupant(self._interest.last(each.article.id), busy) for each in seated]
        config = self._config
        rules = HouseRules(budget, config.residence, config.turn, config.max_loaded)
        further, surplus = self._adjust(demand, now)
        step = decide([*self._applicants(budget, now), *further], occupants, rules, now, busy=loading)
        reasons = dict.fromkeys(step.leave, "another one needs the room")
        reasons |= dict.fromkeys(step.unasked, "nobody has asked for it")
        reasons |= dict.fromkeys(surplus, "fewer workers serve as much")
        for tenant in self.house.tenants:
            if tenant.number in reasons:
                self.house.ask_to_leave(tenant, reasons[tenant.number])
        if step.load:
            self.house.start(self._stock.articles[step.load], budget - sum(each.needs for each in seated))

    def _applicants(self, budget: int, now: float) -> Sequence[Applicant]:
        found = []
        for model, since in self._interest.since.items():
            article = self._stock.weigh(model)
            fault = self._shortage(article, budget)
            if self._gauge.lacks(model, short=bool(fault)):
                self._obstacles.fail(article, fault, "")
            waits_for_others = not article.here and now - since < _REMOTE
            if waits_for_others or self._obstacles.of(article):
                continue
            if article.here and not article.raw:
                found.append(Applicant(model, article.needs, since))
            elif sum(each.fetches for each in self.house.tenants) < MOST_FETCHED:
                self.house.start(article, None)
        return found

    def _shortage(self, article: Article, budget: int) -> str:
        """Why a model finds no room, whoever may go; empty where it does."""
        kept = [each for each in self.house.seated if each.keep == ALWAYS and not each.leaving]
        if 0 < self._config.max_loaded <= len(kept):
            return f"no more than {len(kept)} may be loaded here, and as many are always kept"
        passing = sum(each.card.memory_bytes for each in self.house.tenants if each.fetches and each.card)
        room = max(0, budget + passing - sum(each.needs for each in kept))
        beside = " beside those that are always kept" if kept else ""
        there = f"it needs {tell(article.needs)} of memory, and models have {tell(room)} here{beside} at the moment"
        return there if article.needs > room else ""

    def _adjust(self, demand: Mapping[str, Demand], now: float) -> tuple[list[Applicant], set[int]]:
        """Models that should have one worker more, and the workers of which there should be fewer."""
        further, surplus = [], set()
        staying = [each for each in self.house.tenants if not (each.leaving or each.fetches)]
        for model in self._stock.articles.keys() & {each.article.id for each in staying}:
            article, asked = self._stock.articles[model], demand.get(model, Demand(0, 0, 0))
            here = [each for each in staying if each.article.id == model]
            if article.model.workers == (1, 1):
                continue
            ready, idle = sum(each.ready_at is not None for each in here), self._idle.count()
            wanted = self._growth.wanted(model, article.model.workers, len(here), ready, asked, idle, now)
            if len(here) < wanted:
                further.append(Applicant(model, article.needs, now, further=True))
            elif len(here) > wanted:
                surplus.add(here[-1].number)
        return further, surplus

    def _asked_in_vain(self, demand: Mapping[str, Demand]) -> dict[str, str]:
        """Models whose jobs wait for what cannot be, with the reason."""
        found = {}
        for model in self._interest.since:
            reason = self._obstacles.of(self._stock.articles[model])
            if reason and demand.get(model, Demand(0, 0, 0)).waiting and not self._elsewhere(model):
                found[model] = reason
        return found

    def _left_behind(self, served: Collection[str]) -> dict[str, str]:
        """The same of models that were offered here, and that nobody serves or offers any more."""
        gone = [model for model in self._departures.gone() if model not in served]
        asked = census.demand(self._client, gone) if gone else {}
        waiting = [model for model, demand in asked.items() if demand.waiting and not self._elsewhere(model)]
        return dict.fromkeys(waiting, "its file is gone")

    def _elsewhere(self, model: str) -> bool:
        """Whether another machine may load it."""
        others = (each for agent in agents.agents(self._client) if agent.name != self.name for each in agent.models)
        return any(each.outline.id == model and each.state is not ModelState.FAILED for each in others)

    def _offer(self, article: Article) -> ModelOnDemand:
        tenants = [t for t in self.house.tenants if t.article.id == article.id and not t.leaving]
        reason = self._obstacles.of(article)
        if any(tenant.ready_at is not None for tenant in tenants):
            state, reason = ModelState.READY, ""
        elif reason:
            state = ModelState.FAILED
        else:
            state = ModelState.LOADING if tenants or article.id in self._interest.since else ModelState.AVAILABLE
        lasting = state is ModelState.FAILED and bool(article.fault) and not article.passing
        return ModelOnDemand(article.outline, state, article.needs, reason, lasting)
