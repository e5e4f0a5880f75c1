"""The workers that an agent has started: it watches them from their start to their end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from redis import Redis

from inferq.agent.obstacles import Obstacles
from inferq.agent.stock import Article, Stock
from inferq.agent.tenant import Spawn, Tenant, lives
from inferq.child import LEAVE
from inferq.errors import REFUSED
from shared import agents, census, registry
from shared.agents import ModelState
from shared.catalogue.lasting import ALWAYS
from shared.config import Config
from shared.pid_space import pid_space
from shared.registry import Worker

log = logging.getLogger("inferq.agent")

_FAILING = 8.0
"""Seconds for which a worker may try in vain to load its model: it does so three times within that."""
_SILENT = 60.0
"""Seconds for which a worker that has loaded its model, or fetches it, may say nothing of itself: it does every few."""
_ATTENTIVE = 1.0
"""Seconds that pass at most between two looks: in what is more, as while Redis is away, nobody was listened to."""


class Household:
    """Those of one machine."""

    def __init__(
        self, name: str, client: Redis, stock: Stock, obstacles: Obstacles, spawn: Spawn, config: Config
    ) -> None:
        """`name` is the agent's."""
        self.tenants: list[Tenant] = []
        self._left = set[str]()
        """Models of which a worker was asked to leave since it was looked who else has them."""
        self._name = name
        self._client = client
        self._stock = stock
        self._obstacles = obstacles
        self._spawn = spawn
        self._load_timeout = config.load_timeout
        self._patience = config.grace + LEAVE
        self._space = pid_space()
        self._looked = time.monotonic()

    @property
    def seated(self) -> list[Tenant]:
        """Those that have a part of the memory for models, or will: who only fetches has none."""
        return [tenant for tenant in self.tenants if not tenant.fetches]

    def stop(self, patience: float) -> None:
        """End all workers, which have so many seconds for it."""
        for tenant in self.tenants:
            tenant.terminate()
        deadline = time.monotonic() + patience
        for tenant in self.tenants:
            tenant.join(deadline - time.monotonic())

    def kill(self) -> None:
        """End all workers at once."""
        for tenant in self.tenants:
            tenant.kill()

    def tend(self, workers: Iterable[Worker]) -> None:
        """Notice who has ended, and what the others say of themselves."""
        mine = {worker.pid: worker for worker in workers if worker.space == self._space}
        at_work = census.busy(self._client, {tenant.article.id for tenant in self.tenants if tenant.leaving})
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, _ATTENTIVE), now
        for tenant in tuple(self.tenants):
            computes = tenant.card is not None and tenant.card.name in at_work
            tenant.see(mine.get(tenant.pid), passed, computes=computes)
            if how := tenant.ended():
                self._bury(tenant, how)
            elif tenant.failing_since and time.monotonic() - tenant.failing_since > _FAILING and not tenant.leaving:
                self._obstacles.fail(tenant.article, *tenant.trouble)
                self.ask_to_leave(tenant, "it cannot be loaded")
            elif fault := self._hangs(tenant):
                log.error("worker %s (pid %d) is killed: %s", tenant.article.id, tenant.pid, fault)
                if tenant.loads:
                    self._obstacles.fail(tenant.article, fault, "")
                tenant.give_up()
            elif tenant.ready_at and not tenant.leaving:
                self._obstacles.clear(tenant.article)
            elif not (tenant.card or tenant.leaving):  # until it says so itself
                agents.take_load(self._client, tenant.article.id, self._name)
        for pid in mine.keys() - {tenant.pid for tenant in self.tenants}:
            if not lives(pid):  # killed, with an agent or by anybody
                registry.withdraw(self._client, mine[pid].name)

    def _hangs(self, tenant: Tenant) -> str:
        """Why it is not waited for any longer; empty while it is."""
        if tenant.leaving:
            late = tenant.silence > self._patience
            return f"it computes nothing, and has not left for {self._patience:g} s" if late else ""
        begins = tenant.loads and not (tenant.fetches and tenant.card)
        if begins and time.monotonic() - tenant.started > self._load_timeout:
            return f"it was not loaded within {self._load_timeout:g} s"
        return f"it has said nothing for {_SILENT:g} s" if tenant.silence > _SILENT and not begins else ""

    def note_stays(self) -> None:
        """How long each stays that is not to be there always: as the last request has it that said so."""
        passing = [tenant for tenant in self.tenants if self._stock.keep(tenant.article) < ALWAYS]
        asked = agents.stays(self._client, [tenant.article.id for tenant in passing])
        for tenant in passing:
            tenant.keep = asked.get(tenant.article.id, self._stock.keep(tenant.article))

    def forget_stays(self) -> None:
        """Of models that have left, once it was announced that this machine has them no more: of several machines that
        let one go at a time, the last to look sees that nobody has it."""
        if left := self._left - {tenant.article.id for tenant in self.tenants if not tenant.leaving}:
            others = (agent for agent in agents.agents(self._client) if agent.name != self._name)
            offers = (each for agent in others for each in agent.models)
            for model in left - {each.outline.id for each in offers if each.state is ModelState.READY}:
                agents.forget_stay(self._client, model)
        self._left.clear()

    def _bury(self, tenant: Tenant, how: str) -> None:
        self.tenants.remove(tenant)
        self._stock.weigh_anew(tenant.article)
        if tenant.card:
            registry.withdraw(self._client, tenant.card.name)
        if tenant.leaving:
            log.info("%s has left", tenant.article.id)
            return
        if tenant.fetches and tenant.status == 0:
            if not self._stock.provide(tenant.article.id):
                self._obstacles.fail(tenant.article, "its file was fetched, and is not there", "")
            return
        log.warning("worker %s (pid %d) ended with %s", tenant.article.id, tenant.pid, how)
        if tenant.status == REFUSED and tenant.ready_at is None:
            told, detail = self._last_words(tenant)
            self._obstacles.fail(tenant.article, told or "its worker refuses to start; the log says why", detail)
        elif tenant.ready_at is None:
            self._obstacles.stumble(tenant.article, f"its worker ended with {how} before it had loaded the model")

    def _last_words(self, tenant: Tenant) -> tuple[str, str]:
        """Why a worker has ended that refuses its model: it says so in the moment before."""
        cards = registry.workers(self._client)
        card = next((each for each in cards if (each.space, each.pid) == (self._space, tenant.pid)), None)
        tenant.see(card)
        if card:
            registry.withdraw(self._client, card.name)
        return tenant.trouble

    def start(self, article: Article, room: int | None) -> None:
        """Have it loaded, with so much room, or only fetched and prepared, which needs none."""
        if not agents.take_load(self._client, article.id, self._name):
            return
        # Where the machine has no room for a process now, the loop says so, and tries again.
        self.tenants.append(Tenant(article, self._stock.keep(article), self._spawn, room))
        doing = "its file is being fetched or prepared" if room is None else "it is being loaded"
        log.info("%s is asked for: %s", article.id, doing)

    def ask_to_leave(self, tenant: Tenant, why: str) -> None:
        log.info("%s leaves: %s", tenant.article.id, why)
        self._left.add(tenant.article.id)
        tenant.leave()
        if tenant.card:
            agents.wake(self._client, tenant.card.name)
