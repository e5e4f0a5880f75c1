"""What Redis knows about the jobs of each model: how many wait and run, what became of the others, and why some failed.

The scripts of the tickets count a job in the step in which it ends, whoever computes it and whoever waits for it (see
scripts/_ticket.lua). So these numbers are exact, and the same for everybody who asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

from shared.keys import Key
from shared.ticket import Tier

BOUNDS = tuple(2**k / 1000 for k in range(21))
"""Upper bounds of the classes of `waits`, in seconds; a last class has none."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """One model's jobs."""

    queued: int
    waiting: dict[Tier, int]
    """The queued ones by tier."""
    running: int
    ended: dict[str, int]
    """By outcome: `completed`, `cancelled`, or the code of the error they failed with."""
    recovered: int
    """How often a job went back to the queue because its worker was lost."""
    prompt_tokens: int
    cached_tokens: int
    """Those of the prompts that had been read before, and were not read again."""
    completion_tokens: int
    waits: tuple[int, ...]
    """How many of the jobs that were started waited in the queue for so long; see BOUNDS."""
    waited: float
    """Seconds that these have waited together."""
    held: dict[Tier, float]
    """Seconds for which jobs that have ended held slots, all together, by tier."""
    placed: dict[str, int]
    """How many executions were begun, where several workers serve the model, by the worker that was given the job: the
    `reader` of the most of its prompt, an `other` although that one was ready, or `any`, since nobody had read it."""
    left: tuple[int, ...]
    """How many of them were left for their readers first, by how long they waited from then on; see BOUNDS."""
    left_seconds: float
    """How long these waited so together."""

    @property
    def failed(self) -> int:
        return sum(count for outcome, count in self.ended.items() if outcome not in ("completed", "cancelled"))


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a model at this moment."""

    waiting: int
    running: int
    begun: int
    """How many executions of its jobs were ever begun; it begins anew where a model was forgotten."""
    completed: int = 0
    """How many jobs were; in the same way."""
    asked: int = 0
    """When the last of them came, by Redis's clock in milliseconds; 0 where that is not known."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed job."""

    at: float
    """Unix time."""
    job: str
    model: str
    worker: str
    """Empty where none had begun it."""
    code: str
    message: str
    owner: str = ""
    """Empty where nobody is, and where that is not told: by 0.2.0."""


def models(client: Redis) -> set[str]:
    """The models that jobs were ever submitted for."""
    queues: Any = client.smembers(Key.RQ_QUEUES)
    return {name.decode().removeprefix(Key.RQ_QUEUE) for name in queues}


def numbers(client: Redis, models: Iterable[str]) -> dict[str, Numbers]:
    """Each model's numbers, in alphabetical order; in one round trip."""
    names = sorted(set(models))
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            for rank, _ in enumerate(Tier, 1):
                pipe.zlexcount(f"{Key.WAITING}{name}", f"[{rank}:", f"({rank};")
            pipe.zcard(f"{Key.DEADLINES}{name}")
            pipe.zcard(f"{Key.LEASES}{name}")
            pipe.hgetall(f"{Key.COUNTS}{name}")
        answers = pipe.execute()
    each = len(Tier) + 3
    return {name: _numbers(*answers[each * i : each * (i + 1)]) for i, name in enumerate(names)}


def _numbers(*answers: Any) -> Numbers:
    *waiting, queued, running, raw = answers
    counts = {name.decode(): int(value) for name, value in raw.items() if value.isdigit()}  # or another version's
    return Numbers(
        queued=queued,
        waiting=dict(zip(Tier, waiting, strict=True)),
        running=running,
        ended={name.removeprefix("jobs:"): n for name, n in counts.items() if name.startswith("jobs:")},
        recovered=counts.get("recovered", 0),
        prompt_tokens=counts.get("prompt_tokens", 0),
        cached_tokens=counts.get("cached_tokens", 0),
        completion_tokens=counts.get("completion_tokens", 0),
        waits=_classes(counts, "wait"),
        waited=counts.get("wait_ms", 0) / 1000,
        held={tier: counts.get(f"busy_ms:{tier}", 0) / 1000 for tier in Tier},
        placed={whom: counts.get(f"placed:{whom}", 0) for whom in ("reader", "other", "any")},
        left=_classes(counts, "left"),
        left_seconds=counts.get("left_ms", 0) / 1000,
    )


def _classes(counts: Mapping[str, int], what: str) -> tuple[int, ...]:
    return tuple(counts.get(f"{what}:{k}", 0) for k in range(len(BOUNDS) + 1))


def demand(client: Redis, offered: Iterable[str]) -> dict[str, Demand]:
    """What is asked of each of these models; those that nobody asks for are left out."""
    names = sorted(models(client) & set(offered))
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.zcard(f"{Key.DEADLINES}{name}")
            pipe.zcard(f"{Key.LEASES}{name}")
            pipe.hget(f"{Key.SCHEDULE}{name}", "claims")
            pipe.hget(f"{Key.COUNTS}{name}", "jobs:completed")
            pipe.hget(f"{Key.SCHEDULE}{name}", "asked")
        told = pipe.execute() if names else []
    return {name: Demand(*(int(each or 0) for each in told[5 * i : 5 * i + 5])) for i, name in enumerate(names)}


def unarchived(client: Redis) -> int:
    """How many answers have ended and wait to be stored."""
    count: Any = client.zcount(Key.UNARCHIVED, "(0", "+inf")
    return int(count)


def busy(client: Redis, models: Iterable[str]) -> dict[str, int]:
    """How many jobs each worker computes, by its name."""
    with client.pipeline(transaction=False) as pipe:
        for name in models:
            pipe.zrange(f"{Key.LEASES}{name}", 0, -1)
        running = [job.decode() for jobs in pipe.execute() for job in jobs]
        for job in running:
            pipe.hget(f"{Key.JOB}{job}", "worker")
        names = [name.decode() for name in pipe.execute() if name]
    return {name: names.count(name) for name in names}


def failures(client: Redis, most: int) -> list[Failure]:
    """The last failed jobs, the latest first."""
    entries: Any = client.xrevrange(Key.FAILURES, count=most)
    return [
        Failure(
            int(entry_id.partition(b"-")[0]) / 1000,
            *(
                fields.get(name, b"").decode(errors="replace")
                for name in (b"job", b"model", b"worker", b"code", b"message", b"owner")
            ),
        )
        for entry_id, fields in entries
    ]
