"""The agent: it looks who is asked for, makes room, and starts and ends workers."""

from __future__ import annotations

import logging
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from redis import Redis

from inferq.agent.growth import Growth, IdleCores
from inferq.agent.interest import Interest
from inferq.agent.notice import Notice
from inferq.agent.obstacles import Obstacles
from inferq.agent.plan import Applicant, HouseRules, decide
from inferq.agent.room import MemoryGauge
from inferq.agent.stock import Article, Stock
from inferq.agent.tenant import Tenant, lives
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
_FAILING = 8.0
"""Seconds for which a worker may try in vain to load its model: it does so three times within that."""
_LONG_LOAD = 30.0
"""Seconds after which a model that still loads, or is fetched, keeps no other one from it."""
_REMOTE = 1.0
"""Seconds that a model waits for a machine that has its file before one takes it that has not."""


class MachineAgent:
    """That of one machine. `step` is to be called again and again; it raises what Redis does, and OSError."""

    def __init__(
        self,
        name: str,
        client: Redis,
        stock: Stock,
        spawn: Callable[[str, int], subprocess.Popen[bytes]],
        config: Config,
    ) -> None:
        """`spawn` starts a worker of a model, by its id, that may have so many bytes of memory; 0:
        as many as there are."""
        self.name = name
        self._client = client
        self._stock = stock
        self._spawn = spawn
        self._config = config
        self._space = pid_space()
        self._tenants: list[Tenant] = []
        self._obstacles = Obstacles(client, name)
        self._interest = Interest()
        self._growth, self._idle = Growth(), IdleCores()
        self._notice = Notice(client, name, socket.gethostname())
        self._gauge = MemoryGauge(config)
        self._looked = -_LOOK

    def step(self) -> None:
        """Look around, and do what is to be done now."""
        if time.monotonic() - self._looked >= _LOOK:
            self._look()
        budget = self._gauge.budget(sum(each.card.memory_bytes for each in self._tenants if each.card))
        workers = registry.workers(self._client)
        self._tend(workers)
        self._note_stays()
        demand = census.demand(self._client, self._stock.articles)
        self._interest.note(demand, self._wanted(demand) - self._served(workers))
        self._arrange(demand, budget)
        self._obstacles.tell(self._asked_in_vain(demand))
        self._notice.say(self.offers(), budget, budget - sum(each.needs for each in self._tenants))

    def stop(self, patience: float) -> None:
        """End all workers, which have so many seconds for it."""
        for tenant in self._tenants:
            tenant.terminate()
        deadline = time.monotonic() + patience
        for tenant in self._tenants:
            tenant.join(deadline - time.monotonic())

    def kill(self) -> None:
        """End all workers at once."""
        for tenant in self._tenants:
            tenant.kill()

    def offers(self) -> list[ModelOnDemand]:
        """The models of this machine, in the order of their names."""
        return [self._offer(article) for _, article in sorted(self._stock.articles.items())]

    # What there is

    def _look(self) -> None:
        self._looked = time.monotonic()
        if not self._stock.look():
            self._stock.weigh_next()
        for tenant in self._tenants:  # always: an outage may have kept it from some of them when they changed
            article = self._stock.articles.get(tenant.article.id)
            if not tenant.leaving and (article is None or article.differs(tenant.article)):
                self._ask_to_leave(tenant, f"its file has {'changed' if article else 'gone'}")
        for article in self._stock.articles.values():
            self._obstacles.look(article)

    def _tend(self, workers: Iterable[Worker]) -> None:
        """Notice who has ended, and what the others say of themselves."""
        mine = {worker.pid: worker for worker in workers if worker.space == self._space}
        for tenant in tuple(self._tenants):
            tenant.see(mine.get(tenant.pid))
            if tenant.card and tenant.card.card and not tenant.weighed:
                tenant.weigh(self._stock.weigh_loaded(tenant.article.id, tenant.card.card.context))
            if how := tenant.ended():
                self._bury(tenant, how)
            elif tenant.failing_since and time.monotonic() - tenant.failing_since > _FAILING and not tenant.leaving:
                if not self._stock.has_come(tenant.article):  # else it is loaded anew, with the room that it needs
                    self._obstacles.fail(tenant.article, *tenant.trouble)
                self._ask_to_leave(tenant, "it cannot be loaded")
            elif tenant.ready_at and not tenant.leaving:
                self._obstacles.clear(tenant.article)
            elif not (tenant.card or tenant.leaving):  # until it says so itself
                agents.take_load(self._client, tenant.article.id, self.name)
        for pid in mine.keys() - {tenant.pid for tenant in self._tenants}:
            if not lives(pid):  # killed, with an agent or by anybody
                registry.withdraw(self._client, mine[pid].name)

    def _note_stays(self) -> None:
        """How long each stays that is not to be there always: as the last request has it that said so."""
        passing = [tenant for tenant in self._tenants if self._stock.keep(tenant.article) < ALWAYS]
        asked = agents.stays(self._client, [tenant.article.id for tenant in passing])
        for tenant in passing:
            tenant.keep = asked.get(tenant.article.id, self._stock.keep(tenant.article))

    def _bury(self, tenant: Tenant, how: str) -> None:
        self._tenants.remove(tenant)
        self._stock.weigh_anew(tenant.article)
        if tenant.card:
            registry.withdraw(self._client, tenant.card.name)
        if tenant.leaving:
            log.info("%s has left", tenant.article.id)
            return
        log.warning("worker %s (pid %d) ended with %s", tenant.article.id, tenant.pid, how)
        if tenant.ready_at is None:
            self._obstacles.stumble(tenant.article, f"its worker ended with {how} before it had loaded the model")

    def _wanted(self, demand: Mapping[str, Demand]) -> set[str]:
        """The models that are to have a worker."""
        always = {article.id for article in self._stock.articles.values() if self._stock.keep(article) == ALWAYS}
        return always | {model for model, asked in demand.items() if asked.waiting}

    def _served(self, workers: Iterable[Worker]) -> set[str]:
        """The models that have one, or will soon."""
        own = {tenant.article.id for tenant in self._tenants if not tenant.leaving}
        mine = {tenant.pid for tenant in self._tenants}
        others = (worker for worker in workers if worker.space != self._space or worker.pid not in mine)
        return own | {worker.model for worker in others if not worker.failing}

    # What is to be done

    def _arrange(self, demand: Mapping[str, Demand], budget: int) -> None:
        now = time.monotonic()
        loading = any(tenant.loads and now - tenant.started < _LONG_LOAD for tenant in self._tenants)
        busy = {model for model, asked in demand.items() if asked.waiting or asked.running}
        occupants = [each.occupant(self._interest.last(each.article.id), busy) for each in self._tenants]
        config = self._config
        rules = HouseRules(budget, config.residence, config.turn, config.max_loaded)
        further, surplus = self._adjust(demand, now)
        step = decide([*self._applicants(budget, now), *further], occupants, rules, now, busy=loading)
        for tenant in self._tenants:
            if tenant.number in step.leave or tenant.number in surplus:
                self._ask_to_leave(tenant, "another one needs the room, or nobody has asked for it")
        if step.load:
            self._load(self._stock.articles[step.load], budget - sum(each.needs for each in self._tenants))

    def _applicants(self, budget: int, now: float) -> Sequence[Applicant]:
        found = []
        for model, since in self._interest.since.items():
            article = self._stock.weigh(model)
            if self._gauge.lacks(model, article.needs):
                there = f"it needs {tell(article.needs)} of memory, and models have {tell(budget)} here at the moment"
                self._obstacles.fail(article, there, "")
            waits_for_others = not article.here and now - since < _REMOTE
            if not (waits_for_others or self._obstacles.of(article)):
                found.append(Applicant(model, article.needs, since))
        return found

    def _adjust(self, demand: Mapping[str, Demand], now: float) -> tuple[list[Applicant], set[int]]:
        """Models that should have one worker more, and the workers of which there should be fewer."""
        further, surplus = [], set()
        staying = [each for each in self._tenants if not each.leaving]
        for model in self._stock.articles.keys() & {each.article.id for each in staying}:
            article, asked = self._stock.articles[model], demand.get(model, Demand(0, 0, 0))
            here = [each for each in staying if each.article.id == model]
            if article.model.workers == (1, 1):
                continue
            ready = sum(each.ready_at is not None for each in here)
            wanted = self._growth.wanted(model, article.model.workers, ready, asked, self._idle.count(), now)
            if len(here) < wanted:
                further.append(Applicant(model, article.needs, now, further=True))
            elif len(here) > wanted:
                surplus.add(here[-1].number)
        return further, surplus

    def _load(self, article: Article, room: int) -> None:
        if not agents.take_load(self._client, article.id, self.name):
            return
        # Where the machine has no room for a process now, the loop says so, and tries again.
        self._tenants.append(Tenant(article, self._stock.keep(article), self._spawn, room))
        log.info("%s is asked for: it is being loaded", article.id)

    def _ask_to_leave(self, tenant: Tenant, why: str) -> None:
        log.info("%s leaves: %s", tenant.article.id, why)
        tenant.leave()
        if tenant.card:
            agents.wake(self._client, tenant.card.name)

    def _asked_in_vain(self, demand: Mapping[str, Demand]) -> dict[str, str]:
        """Models whose jobs wait for what cannot be, with the reason."""
        found = {}
        for model in self._interest.since:
            reason = self._obstacles.of(self._stock.articles[model])
            if reason and demand.get(model, Demand(0, 0, 0)).waiting and not self._elsewhere(model):
                found[model] = reason
        return found

    def _elsewhere(self, model: str) -> bool:
        """Whether another machine may load it."""
        others = (each for agent in agents.agents(self._client) if agent.name != self.name for each in agent.models)
        return any(each.outline.id == model and each.state is not ModelState.FAILED for each in others)

    def _offer(self, article: Article) -> ModelOnDemand:
        tenants = [t for t in self._tenants if t.article.id == article.id and not t.leaving]
        reason = self._obstacles.of(article)
        if any(tenant.ready_at is not None for tenant in tenants):
            state, reason = ModelState.READY, ""
        elif reason:
            state = ModelState.FAILED
        else:
            state = ModelState.LOADING if tenants or article.id in self._interest.since else ModelState.AVAILABLE
        lasting = state is ModelState.FAILED and bool(article.fault) and not article.passing
        return ModelOnDemand(article.outline, state, article.needs, reason, lasting)
