"""What goes on at this moment, seen in one step: see scripts/survey.lua."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec
from redis import Redis

from shared.history import Bucket, flat_bucket
from shared.scripts import script
from shared.ticket import Tier


@dataclass(frozen=True, slots=True)
class Load:
    """What one model has to do, for everybody."""

    queued: Mapping[Tier, int]
    running: int
    workers: Mapping[str, int]
    """How many jobs each worker computes."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A job that waits or runs. Times are Unix times in seconds."""

    id: str
    model: str
    owner: str
    tier: str
    created: float
    started: float | None
    """None while it waits."""
    tokens: int
    worker: str
    position: int | None
    """Its place in the queue, from 1; None where it runs, or where very many wait."""


@dataclass(frozen=True, slots=True)
class Survey:
    """A moment."""

    at: float
    """Redis's time, in seconds."""
    models: Mapping[str, Load]
    running: list[Sight]
    queued: list[Sight]
    more_running: int
    """How many are not told."""
    more_queued: int
    recent: list[Bucket]
    """The last minute, ten seconds each."""
    tail: list[Bucket]
    """The last two minutes as the history has them, the latest last."""
    tail_of_all: list[Bucket]


class _WireLoad(msgspec.Struct, array_like=True):
    queued: list[int]
    running: int
    workers: list[str | int]


class _WireSight(msgspec.Struct, array_like=True):
    id: str
    model: str
    owner: str
    tier: str
    created: int
    started: int | str
    tokens: int
    worker: str
    position: int


class _WireSurvey(msgspec.Struct, array_like=True):
    now: int
    models: list[_WireLoad]
    running: list[_WireSight]
    queued: list[_WireSight]
    more_running: int
    more_queued: int
    recent: list[list[str]]
    tail: list[list[str]]
    tail_of_all: list[list[str]]


class Surveyor:
    """Looks around on one Redis."""

    def __init__(self, client: Redis) -> None:
        self._script = script(client, "survey")
        self._decode = msgspec.msgpack.Decoder(_WireSurvey).decode

    def look(self, models: Iterable[str], owner: str, most: int) -> Survey:
        """Of these models, and of up to `most` running and waiting jobs each, an owner's or those of all."""
        names = list(models)
        found = self._decode(self._script(keys=[], args=[owner, most, *names]))
        return Survey(
            at=found.now / 1000,
            models={name: _load(each) for name, each in zip(names, found.models, strict=True)},
            running=[_sight(job) for job in found.running],
            queued=[_sight(job) for job in found.queued],
            more_running=found.more_running,
            more_queued=found.more_queued,
            recent=[flat_bucket(flat) for flat in found.recent],
            tail=[flat_bucket(flat) for flat in found.tail],
            tail_of_all=[flat_bucket(flat) for flat in found.tail_of_all],
        )


def _load(model: _WireLoad) -> Load:
    jobs = {str(name): int(count) for name, count in zip(model.workers[::2], model.workers[1::2], strict=True)}
    return Load(dict(zip(Tier, model.queued, strict=True)), model.running, jobs)


def _sight(job: _WireSight) -> Sight:
    started = job.started / 1000 if isinstance(job.started, int) else None
    said = (job.id, job.model, job.owner, job.tier, job.created / 1000, started, job.tokens, job.worker)
    return Sight(*said, job.position or None)
