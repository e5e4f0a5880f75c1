"""Whatever gateways, workers and clients may do, in any order: hypothesis chooses."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from shared.card import Card
from shared.registry import GatewayProcess, Kind, Worker
from shared.ticket import ORDINARY, Sighting, Standing, Tier
from tests.model.cast import (
    GATEWAYS,
    LEASE,
    MODELS,
    WORKERS,
    Cast,
    action,
    gateways,
    models,
    newest,
    number,
    sendings,
    sometimes,
    themes,
    workers,
)
from tests.model.clients import Clients, texts
from tests.model.pair import Sending
from tests.model.workers import Workers

afters = st.sampled_from([0, 0, 1, 49, 50, 51, -20, -20, -20])
moments = st.sampled_from([0, 1, 399, 400, 1000, 2000, 2500, 3000, 3001])
jumps = st.sampled_from(
    [-1, -500, -5000, -61_000, -3_600_000, -200_000_000, 16_000, 16_000, 61_000, 301_000, 90_000_000]
)


makings = st.sampled_from([Sending.ONCE, Sending.LOST, Sending.LATE])
"""Sent again it makes more room."""


class Machine(Clients, Workers, RuleBasedStateMachine):
    """One world from its beginning."""

    @action(
        2,
        better=st.sampled_from([Tier.DEFAULT, Tier.PRIORITY]),
        ready=st.integers(0, 3),
        rounds=st.integers(1, 3),
        sending=sendings,
    )
    def squeeze(self, better: Tier, ready: int, rounds: int, sending: Sending) -> None:
        """A flex job runs, and better ones come, with some slots there; it may make room, and go on."""
        card = Card("m", "echo", "", 100, ready, 1) if ready else None
        self.do("announce_worker", Worker("w1", "m", "h", 1, 1, card), LEASE)
        self.submit("m", "", False, False, "", 9, None, 3000, "o", Standing(Tier.FLEX), Sending.ONCE)
        for _ in range(rounds):
            self.claim("m", "moved", 0, "w1", Sending.ONCE)
            self.submit("m", "", False, False, "", 9, None, 3000, "p", Standing(better), sending)
            for run in self.runs[-2:]:
                job = self.world.jobs.get(run.job)
                if job and job.preempt and job.exec == run.id:
                    self.do("decline", "m", run.job, f"one before {run.id}")
                    self.do("release", "m", [(run.job, run.id)], sending=sending, actor=run.id)

    # housekeeping, by whoever lives

    @action(2, model=models, after=moments, sending=sendings)
    def sweep(self, model: str, after: int, sending: Sending) -> None:
        self.pair.pass_time(after)
        self.do("sweep", model, LEASE, sending=sending)

    @action(1, after=moments, sending=sendings)
    def lapse(self, after: int, sending: Sending) -> None:
        self.pair.pass_time(after)
        self.do("lapse", sending=sending)

    @action(2, jump=st.one_of(*[st.just(0)] * 4, jumps), rounds=st.integers(1, 4), live=st.booleans(), forget=sometimes)
    def keep_house(self, jump: int, rounds: int, live: bool, forget: bool) -> None:
        """Time passes as it does where somebody lives, with the workers or without them."""
        self.pair.pass_time(jump)
        for _ in range(rounds):
            self.pair.pass_time(1100)
            if live:
                self.do("renew", "m", LEASE, [(run.job, run.id) for run in self.runs if run.model == "m"][-3:])
            self.do("sweep", "m", LEASE)
            if forget:
                self.pair.pass_time(1800)
                self.do("lapse")

    @action(3, dies=gateways, listens=st.sampled_from([True, True, False]), parts=sometimes)
    def outlive(self, dies: str, listens: bool, parts: bool) -> None:
        """Of two gateways the one where a client waits dies; at the other one somebody reads the answer too, or not."""
        other = next(gateway for gateway in GATEWAYS if gateway != dies)
        self.announce_gateway(dies, False, Sending.ONCE)
        self.submit("m", dies, True, parts, "", 9, None, 3000, "o", ORDINARY, Sending.ONCE)
        if listens and self.ids:
            self.do("attach", other, [Sighting(self.ids[-1], 0, "", "", False)], actor=f"reconciler {other}")
        self.pair.pass_time(61_000)
        for _ in range(7):  # after so long everybody has a moment to say that he lives
            self.announce_gateway(other, False, Sending.ONCE)
            self.do("lapse")
            self.pair.pass_time(2000)

    @action(
        3,
        ready=st.sampled_from([("w1", "w2"), ("w1", "w2"), ("w1",)]),
        texts=st.lists(texts, min_size=1, max_size=4),
        turns=st.lists(st.tuples(st.sampled_from(["w1", "w2"]), afters), min_size=3, max_size=6),
        owner=st.sampled_from(["o", "p", ""]),
        sending=sendings,
    )
    def converse(
        self, ready: tuple[str, ...], texts: list[str], turns: list[tuple[str, int]], owner: str, sending: Sending
    ) -> None:
        """Prompts come that go on where others end, and workers take them in turn."""
        for worker in ready:
            self.do("announce_worker", Worker(worker, "m", "h", 1, 1, Card("m", "echo", "", 100, 2, 1)), LEASE)
        for text in texts:
            self.submit("m", "", False, False, "", 9, None, 3000, owner, ORDINARY, Sending.ONCE, text=text)
        for worker, after in turns:
            self.claim("m", "none", 0, worker, sending)
            self.pair.pass_time(after)

    @action(1, gateway=gateways, most=st.integers(1, 9), after=st.sampled_from([0, 0, 16_000]), sending=makings)
    def evict(self, gateway: str, most: int, after: int, sending: Sending) -> None:
        self.pair.pass_time(after)
        self.do("evict", gateway, 1 << 40, most, sending=sending, actor=f"memory {gateway}")

    @action(1, gateway=gateways, other_lease=sometimes, sending=sendings)
    def announce_gateway(self, gateway: str, other_lease: bool, sending: Sending) -> None:
        process = GatewayProcess(gateway, "h", 1, 1)
        self.do("announce_gateway", process, LEASE + other_lease, sending=sending, actor=f"reader {gateway}")

    @action(1, worker=workers, ready=st.booleans(), other_lease=sometimes, sending=sendings)
    def announce_worker(self, worker: str, ready: bool, other_lease: bool, sending: Sending) -> None:
        model = WORKERS[worker]
        card = Card(model, "echo", "", 100, 1, 1) if ready else None
        who = Worker(worker, model, "h", 1, 1, card)
        self.do("announce_worker", who, LEASE + other_lease, sending=sending, actor=f"herald {worker}")

    @action(1, gateway=gateways)
    def leave_gateway(self, gateway: str) -> None:
        self.do("leave_gateway", gateway)

    @action(1, worker=workers, sending=sendings)
    def withdraw(self, worker: str, sending: Sending) -> None:
        self.do("withdraw", worker, sending=sending, actor=f"herald {worker}")

    @action(1, kind=st.sampled_from(list(Kind)), model=models)
    def look(self, kind: Kind, model: str) -> None:
        self.do("names", kind)
        self.do("paces", model)
        for job_id in self.ids[-9:]:
            self.do("position", job_id)

    # what happens to Redis; its restarts: see `begin`

    @action(1, needs="endings", which=number)
    def end(self, which: int) -> None:
        """Something's time to live is over."""
        self.do("end", *newest(self.endings, which))

    @action(2, needs="ids", which=number, stranger=sometimes)
    def hint(self, which: int, stranger: bool) -> None:
        """An entry that is late or doubled, or not one of ours."""
        job = self.world.jobs.get(newest(self.ids, which))
        model = job.model if job else MODELS[which % 2]
        if model in self.world.asked and (stranger or not (job and job.queued)):
            self.do("hint", model, job.id if job and not stranger else f"stranger to {model}")

    @action(1, needs="entries", model=models)
    def lose_permit(self, model: str) -> None:
        """As a dashboard of RQ's does, or a failover."""
        self.do("lose_permit", model)
        self.pair.pass_time(2000)
        self.do("sweep", model, LEASE)

    @action(2, needs="late", which=number)
    def resend(self, which: int) -> None:
        """A duplicate arrives late."""
        self.pair.resend(newest(self.late, which))

    @initialize(theme=themes, restart_at=st.sampled_from([None] * 5 + [5, 15, 40]))
    def begin(self, theme: set[str], restart_at: int | None) -> None:
        """Valkey's restart is not one of the actions: a short run might then draw none at all."""
        self.theme = theme
        self.restart_at = restart_at

    @rule(act=st.runner().flatmap(Cast.choices), kill=st.booleans())
    def step(self, act: tuple[str, dict[str, Any]], kill: bool) -> None:
        name, arguments = act
        getattr(self, name)(**arguments)
        self.taken += 1
        if self.taken == self.restart_at:
            self.pair.restart_valkey(kill=kill)

    def teardown(self) -> None:
        if self.pair.sound:
            self.pair.audit()
