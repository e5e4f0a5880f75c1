"""Whose turn it is: what the head of shared/scripts/_schedule.lua promises of one model, in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from shared.ticket import Tier
from tests.model.job import Job

RANKS = {Tier.PRIORITY: 1, Tier.DEFAULT: 2, Tier.FLEX: 3}
AGEING = {2: 30_000, 3: 600_000}
MOST_PREEMPTIONS = 1
"""Of a job, here: so few that they are reached."""
LOOK = 8
"""Heads that a claim looks at."""


Picked = tuple[Job, Sequence[Job]] | int | None
"""A job and those that it overtakes, or in how many milliseconds there may be one; None where there is none."""


def price(took: int, weight: float) -> int:
    """Of so many microseconds of a slot."""
    return max(1, int(max(1000, took) / weight + 0.5))


@dataclass
class Schedule:
    """The turns of owners, in each tier."""

    weights: dict[str, float]
    """Of all owners whose weight is not 1; all models share them."""
    waiting: dict[str, Job] = field(default_factory=dict)
    """By their places."""
    counts: Counter[str] = field(default_factory=Counter)
    """`arrivals`, `asked`, `claims`, `aged` and the clocks, where there are any."""
    turns: dict[int, dict[str, int]] = field(default_factory=lambda: {1: {}, 2: {}, 3: {}})
    """The tags of owners whose jobs wait."""
    tags: dict[int, dict[str, int]] = field(default_factory=lambda: {1: {}, 2: {}, 3: {}})
    """Those of others, as long as they matter."""

    def enlist(self, job: Job, now: int) -> None:
        if not job.place:
            self.counts["arrivals"] += 1
            self.counts["asked"] = now
            job.place = f"{RANKS[job.tier]}:{job.owner}:{self.counts['arrivals']:012d}:{job.id}"
        self.waiting[job.place] = job
        rank, owner = RANKS[job.tier], job.owner
        if owner not in self.turns[rank]:
            self.turns[rank][owner] = max(self.tags[rank].pop(owner, 0), self._clock(rank))

    def delist(self, job: Job) -> None:
        if not self.waiting.pop(job.place, None):
            return
        rank, owner = RANKS[job.tier], job.owner
        if not self._of(rank, owner) and owner in self.turns[rank]:
            self._set_aside(rank, owner, self.turns[rank].pop(owner))

    def choose(
        self, now: int, ready: Callable[[Job], bool], pick: Callable[[Sequence[Job]], Picked] | None = None
    ) -> Picked:
        """`pick` says which of a tier's first jobs it is, where that is not the first."""
        if not self.waiting:
            return None
        self.counts["claims"] += 1
        ageing = self.counts["claims"] - self.counts.get("aged", 0) >= 4
        best: Picked = None
        due: list[tuple[int, int, Job]] = []
        for rank in (1, 2, 3):
            if best and not ageing:
                break
            if best is None and pick:
                best = pick(self.first(rank))
                continue
            job = self._head(rank, ready)
            if best is None:
                best = (job, ()) if job else None
            elif job and job.created + AGEING[rank] <= now:
                due.append((job.created + AGEING[rank], rank, job))
        if due:
            self.counts["aged"] = self.counts["claims"]
            return min(due)[2], ()
        return best

    def charge(self, job: Job, overtakes: Sequence[Job], held_us: int) -> None:
        """The job is begun."""
        rank, owner = RANKS[job.tier], job.owner
        start = max(self.turns[rank][owner], self._clock(rank))
        served = max(self._clock(rank), min(start, *self.turns[rank].values())) if overtakes else start
        for other in overtakes:
            other.overtaken += 1
        job.charge = price(held_us, self._weight(owner))
        self.counts[f"clock:{rank}"] = served
        self.turns[rank][owner] = start + job.charge
        self.delist(job)
        self.tags[rank] = {other: tag for other, tag in self.tags[rank].items() if tag > served}

    def settle(self, job: Job, took_ms: int) -> None:
        """Its execution is over."""
        if not job.charge:
            return
        rank, owner = RANKS[job.tier], job.owner
        due = price(min(3_600_000_000, took_ms * 1000), self._weight(owner)) - job.charge
        job.charge = 0
        if owner in self.turns[rank]:
            self.turns[rank][owner] += due
        else:
            self._set_aside(rank, owner, self.tags[rank].pop(owner, self._clock(rank)) + due)

    def position(self, job: Job, held_us: int) -> int:
        """By playing it through: everybody takes his turns until this job's has come."""
        rank = RANKS[job.tier]
        ahead = sum(RANKS[other.tier] < rank for other in self.waiting.values())
        tags = {owner: max(tag, self._clock(rank)) for owner, tag in self.turns[rank].items()}
        left = {owner: self._of(rank, owner) for owner in tags}
        while True:
            owner = min((owner for owner in tags if left[owner]), key=lambda each: (tags[each], each))
            ahead += 1
            if left[owner].pop(0) is job:
                return ahead
            tags[owner] += price(held_us, self._weight(owner))

    def first(self, rank: int) -> list[Job]:
        """A tier's first jobs, in the order of their owners' turns."""
        turns = self.turns[rank]
        owners = sorted(turns, key=lambda each: (turns[each], each))[:LOOK]
        return [job for owner in owners for job in self._of(rank, owner)][:LOOK]

    def lines(self, rank: int) -> dict[str, int]:
        """How many jobs of each owner wait."""
        return Counter(job.owner for job in self.waiting.values() if RANKS[job.tier] == rank)

    def better(self) -> list[Job]:
        """Waiting jobs for which a flex job makes room, by their places."""
        return [job for _, job in sorted(self.waiting.items()) if job.tier is not Tier.FLEX]

    def forget(self) -> None:
        """Nobody serves the model any more."""
        self.counts.clear()
        self.turns, self.tags = {1: {}, 2: {}, 3: {}}, {1: {}, 2: {}, 3: {}}

    def _head(self, rank: int, ready: Callable[[Job], bool]) -> Job | None:
        for _ in range(LOOK):
            turns = self.turns[rank]
            if not turns:
                return None
            owner = min(turns, key=lambda each: (turns[each], each))
            job = self._of(rank, owner)[0]
            if ready(job):
                return job
        return None

    def _of(self, rank: int, owner: str) -> list[Job]:
        return [job for _, job in sorted(self.waiting.items()) if (RANKS[job.tier], job.owner) == (rank, owner)]

    def _clock(self, rank: int) -> int:
        return self.counts.get(f"clock:{rank}", 0)

    def _weight(self, owner: str) -> float:
        return self.weights.get(owner, 1)

    def _set_aside(self, rank: int, owner: str, tag: int) -> None:
        if tag > self._clock(rank):
            self.tags[rank][owner] = tag


def youngest(jobs: Iterable[Job]) -> list[Job]:
    """Those that were begun last come first."""
    return sorted(jobs, key=lambda job: (job.started or 0, job.id), reverse=True)
