"""Transitions of version 0.1.0 and of this one in any order: no job is lost, run by two at once, or stuck."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from redis import Redis, ResponseError

from shared import registry, streams
from shared.audit import audit
from shared.errors import NotUnderstood
from shared.protocol import Delta, Done, Failed, State
from shared.registry import GatewayProcess
from shared.ticket import Answer, Attempt, Claim, Sighting, Standing, Tier
from shared.tickets import Tickets
from tests.earlier import Earlier
from tests.record import read
from tests.transitions import ACCEPTED, END, LEASE, append, forget, lapse, permits, sweep

SEEDS = range(6)
STEPS = 300
REPLY = "iq:reply:g"
REASON = NotUnderstood("It is of another version.")


@dataclass(eq=False)
class Execution:
    """A worker's hold of a job."""

    side: Tickets
    job: str
    id: str
    seq: int


@dataclass
class Mixture:
    """Gateways and workers of both."""

    client: Redis
    random: Random
    sides: list[Tickets]
    held: list[Execution] = field(default_factory=list)
    zombies: list[Execution] = field(default_factory=list)
    """Of workers that are taken for dead, and go on."""
    jobs: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    """What happened, so that a run proves something."""

    def step(self) -> None:
        side = self.random.choice(self.sides)
        does = (self.submit, *[self.claim] * 3, *[self.write] * 3, self.lose, self.drop, self.cancel, self.leave)
        does += (self.follow, self.put_back, self.go_on_dead, self.mend, lambda side: lapse(side))
        does[self.random.randrange(len(does))](side)

    def submit(self, side: Tickets) -> None:
        self.jobs += 1
        attempt = Attempt("print", waits=self.random.random() < 0.5)
        standing = Standing(self.random.choice(list(Tier)), self.random.choice((1, 2)))
        options: dict[str, Any] = {"reply": "", "max_queue": 1000, "wait": 3600, "keep": 600}
        side.submit(f"j{self.jobs}", ACCEPTED, **options, attempt=attempt, standing=standing)

    def claim(self, side: Tickets) -> bool:
        entry: Any = self.client.lmove("rq:queue:m", "rq:queue:m:intermediate", "LEFT", "RIGHT")
        if entry is None and (isinstance(side, Earlier) or not side.waits("m")):
            return False
        permit = entry.decode() if entry else ""
        execution = f"x{self.random.getrandbits(64):x}"
        try:
            claim = side.claim("m", permit, execution, lease_ms=LEASE, worker="w")
        except ResponseError:  # a stream that is not begun, because nobody has seen yet that 0.1.0 has come
            self.seen["unreadable"] += 1
            claim = None
            self.client.zadd("iq:leases:m", {permit: 1}, xx=True)
        if not isinstance(claim, Claim):
            return True
        assert claim.job_id not in {each.job for each in self.held}, "two run it"
        self.seen["old" if isinstance(side, Earlier) else "new"] += 1
        self.held.append(Execution(side, claim.job_id, execution, claim.seq))
        return True

    def write(self, side: Tickets) -> None:
        if not self.held:
            return
        execution = self.random.choice(self.held)
        ends = self.random.random() < 0.3
        events = (Delta("w"), END) if ends else (Delta("w"),)
        answer, _ = append(execution.side, execution.job, execution.id, execution.seq + 1, *events)
        assert answer in (Answer.OK, Answer.CANCELLED, Answer.PREEMPTED)
        execution.seq += len(events)
        if ends:
            self.held.remove(execution)
        elif answer == Answer.CANCELLED:
            failed = Failed("cancelled", "It was.")
            append(execution.side, execution.job, execution.id, execution.seq + 1, failed)
            self.held.remove(execution)
        elif answer == Answer.PREEMPTED:
            self.seen["asked back"] += 1
            execution.side.release("m", [(execution.job, execution.id)])
            self.held.remove(execution)

    def lose(self, side: Tickets) -> None:
        if self.held:
            execution = self.held.pop(self.random.randrange(len(self.held)))
            self.client.zadd("iq:leases:m", {execution.job: 1}, xx=True)
            self.zombies.append(execution)

    def go_on_dead(self, side: Tickets) -> None:
        """A worker that was taken for dead sends what it has; its lease is over, but nobody may have looked yet."""
        if self.zombies:
            execution = self.zombies.pop()
            self.seen[
                f"zombie {append(execution.side, execution.job, execution.id, execution.seq + 1, Delta('z'))[0]}"
            ] += 1

    def put_back(self, side: Tickets) -> None:
        if not self.held:
            return
        execution = self.held.pop(self.random.randrange(len(self.held)))
        match self.random.randrange(3):
            case 0:
                execution.side.release("m", [(execution.job, execution.id)])
            case 1:
                execution.side.hand_back("m", execution.job, execution.id, REASON)
            case _:
                execution.side.restart("m", execution.job, execution.id)

    def drop(self, side: Tickets) -> None:
        """A worker dies before its claim."""
        self.client.lmove("rq:queue:m", "rq:queue:m:intermediate", "LEFT", "RIGHT")

    def cancel(self, side: Tickets) -> None:
        if self.jobs and self.random.random() < 0.5:
            side.cancel(f"j{self.random.randint(1, self.jobs)}")

    def leave(self, side: Tickets) -> None:
        if self.jobs:
            job = f"j{self.random.randint(1, self.jobs)}"
            side.leave(job, job, "", Attempt("print"), self.random.choice((0, 0.001)))

    def follow(self, side: Tickets) -> None:
        if self.jobs:
            job = f"j{self.random.randint(1, self.jobs)}"
            side.attach(REPLY, [Sighting(job, 0, "", "")])
            side.position(job) if not isinstance(side, Earlier) else None

    def mend(self, side: Tickets) -> None:
        limbo: Any = self.client.zrange("iq:limbo:m", 0, -1)
        for permit in limbo:
            self.client.zadd("iq:limbo:m", {permit: 1})
        sweep(side)

    def waiting(self) -> set[str]:
        found: Any = self.client.zrange("iq:deadlines:m", 0, -1)
        return {job.decode() for job in found}

    def drain(self, side: Tickets) -> None:
        """One version alone ends all that is there."""
        for execution in self.held:
            self.client.zadd("iq:leases:m", {execution.job: 1}, xx=True)
        self.held = []
        for _ in range(3 * STEPS):
            self.mend(side)
            while self.claim(side):
                while self.held:
                    self.write(side)
            if not self.waiting() and not self.client.zcard("iq:leases:m"):
                return
        raise AssertionError(f"stuck: {self.waiting()}, permits {permits(side)}")


def assert_all_ended(mixture: Mixture, tickets: Tickets) -> None:
    ends: Counter[State] = Counter()
    for number in range(1, mixture.jobs + 1):
        ticket, record = tickets.get(f"j{number}"), read(tickets.client, f"j{number}")
        ends[ticket.state] += 1
        assert [*streams.entries(tickets.client, f"j{number}")][-1].last == ticket.events
        last = [event for event in record.events if isinstance(event, Done | Failed)]
        assert last == record.events[-1:], "it has ended once"
    assert ends[State.COMPLETED] > 5
    assert ends[State.FAILED] == 0


def assert_tidy(mixture: Mixture, old: Earlier, tickets: Tickets) -> None:
    """Once 0.1.0 is gone, nothing of what it has left stays."""
    old.die()
    tickets.client.delete("iq:older")
    while tickets.client.hexists("iq:lapse", "tidy"):
        lapse(tickets)
    for _ in range(2):
        mixture.mend(tickets)
    forget(tickets)
    assert audit(tickets.client, pause=0).findings == []
    for key in ("waiting", "flex", "preempted", "owned:o"):
        assert not tickets.client.exists(f"iq:{key}:m", f"iq:{key}")


def play(tickets: Tickets, seed: int, last: str) -> Counter[str]:
    """This version alone, then both, then one alone; what happened."""
    tickets.client.flushdb()
    old = Earlier(tickets.client)
    mixture = Mixture(tickets.client, Random(seed), [tickets])
    registry.announce_gateway(tickets.client, GatewayProcess(REPLY, "h", 1, 1), LEASE)
    for _ in range(STEPS // 3):
        mixture.step()
    mixture.sides = [old, tickets]
    for number in range(STEPS):
        if number == 10:  # nobody knows of it until then
            old.live()
        mixture.step()
        if number > 10 and number % 20 == 0:
            lapse(tickets)
            for _ in range(2):
                mixture.mend(tickets)
            assert sorted(permits(tickets)) == sorted(mixture.waiting())
            assert audit(tickets.client, pause=0).findings == []
    if last == "old":
        mixture.drain(old)
    else:
        old.die()
        tickets.client.delete("iq:older")
        mixture.drain(tickets)
    assert_tidy(mixture, old, tickets)
    assert_all_ended(mixture, tickets)
    return mixture.seen


@pytest.mark.parametrize("last", ["new", "old"])
def test_any_order_of_transitions(tickets: Tickets, last: str) -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        seen += play(tickets, seed, last)
    hits = ("old", "new", "unreadable", "asked back", f"zombie {Answer.FENCED:d}", f"zombie {Answer.OK:d}")
    assert not [what for what in hits if not seen[what]], f"too little has happened: {seen}"
