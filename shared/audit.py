"""The books of Redis: is every job in one state and listed where that says, and has every key an owner or an end?

The keys are described in keys.py; scripts/audit.lua judges the jobs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from redis import Redis

from shared import registry
from shared.keys import Key
from shared.registry import Kind
from shared.scripts import script
from shared.version import VERSION

_SETS = (f"{Key.DEADLINES}{{}}", f"{Key.LEASES}{{}}", f"{Key.LINGERING}{{}}", f"{Key.LIMBO}{{}}", f"{Key.RQ_WIP}{{}}")
"""Where the jobs of a model are listed; members of the last one are `<job>:<execution>`."""
_OF_MODELS = (
    *(
        *_SETS,
        f"{Key.RQ_QUEUE}{{}}",
        f"{Key.RQ_QUEUE}{{}}:intermediate",
        f"{Key.SWEEP}{{}}",
        f"{Key.COUNTS}{{}}",
        f"{Key.RQ_WORKERS}:{{}}",
    ),
    *(f"{Key.WAITING}{{}}", f"{Key.SCHEDULE}{{}}", f"{Key.FLEX}{{}}", f"{Key.PREEMPTED}{{}}", f"{Key.SLOTS}{{}}"),
    *(f"{Key.READERS}{{}}", f"{Key.READ_BEFORE}{{}}"),
    *(f"{key}{{}}:{rank}" for key in (Key.TURNS, Key.TAGS, Key.LINES) for rank in (1, 2, 3)),
)
_SINGLE = (
    Key.FAILURES,
    Key.WEIGHTS,
    Key.WRITTEN,
    Key.LAPSE,
    Key.LEASE,
    Key.BYTES,
    Key.RETAINED,
    Key.UNARCHIVED,
    Key.AGENTS,
    *(f"{Key.LIVE}{kind}" for kind in Kind),
    Key.RQ_QUEUES,
    Key.RQ_WORKERS,
)
_OF_JOBS = (Key.JOB, Key.TASK, Key.GIVEN, Key.EVENTS, Key.RQ_JOB)
_KINDS = (
    *(
        "rq:",
        *_SINGLE,
        *_OF_JOBS,
        "iq:reply:",
        Key.ORPHANS,
        Key.JOINED,
        Key.IDEMPOTENCY,
        Key.OWNED,
        Key.EXEC,
        Key.HISTORY,
        Key.PERMITS,
        Key.AGENT,
        Key.LOAD,
        Key.STAY,
    ),
    *(f"{Key.CARD}{kind}:" for kind in Kind),
    *(key.format("") for key in _OF_MODELS),
)
"""How the keys begin that this version writes."""
_OF_THE_ARCHIVE = "iq:archive:"
"""How those begin that its index audits."""
_CHUNK = 200
"""Jobs that one call of the script judges; Redis does nothing else meanwhile."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something that does not balance."""

    subject: str
    """A job's id, or another Redis key."""
    problem: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What was looked at, and what is wrong with it."""

    keys: int
    jobs: int
    findings: list[Finding]


def audit(client: Redis, pause: float = 1.5) -> Audit:
    """Look at all keys, and again after `pause` seconds if something seems wrong.

    What moves can be seen between two places, so only what is wrong both times is a finding. Foreign keys, which begin
    with neither `iq:` nor `rq:`, are left alone.
    """
    first = _look(client)
    if not first.findings:
        return first
    time.sleep(pause)
    second = _look(client)
    return Audit(second.keys, second.jobs, sorted(set(first.findings) & set(second.findings)))


def _look(client: Redis) -> Audit:
    keys = {key.decode(errors="replace") for kind in ("iq:*", "rq:*") for key in client.scan_iter(kind, count=1000)}
    queues: Any = client.smembers(Key.RQ_QUEUES)
    models = {queue.decode().removeprefix(Key.RQ_QUEUE) for queue in queues}  # that were ever asked for
    models |= {
        key.removeprefix(f"{Key.RQ_WORKERS}:") for key in keys if key.startswith(f"{Key.RQ_WORKERS}:")
    }  # or served
    cursors: Any = client.hmget(Key.LAPSE, "tidy", "former")
    settled = not any(cursors)  # else an earlier version has left what is not cleared yet
    if not settled:
        models |= {key.removeprefix(Key.SCHEDULE) for key in keys if key.startswith(Key.SCHEDULE)}
    jobs = {model: _listed(client, model) for model in models}
    unarchived: Any = client.zrange(Key.UNARCHIVED, 0, -1)
    ids = {key.removeprefix(kind) for key in keys for kind in _OF_JOBS if key.startswith(kind)}
    _sort_in(client, ids | {job_id.decode(errors="replace") for job_id in unarchived}, jobs)
    owned = {*_SINGLE, *(key.format(model) for key in _OF_MODELS for model in models), *_of_the_living(client)}
    strangers = sorted(key for key in keys - owned if not key.startswith((*_OF_JOBS, Key.OWNED, _OF_THE_ARCHIVE)))
    if _others_live(client):  # who know what belongs to whom among keys of kinds that this version does not write
        strangers = [key for key in strangers if key.startswith(_KINDS)]
    lists = sorted(key for key in keys if key.startswith(Key.OWNED)) if settled else []
    findings = [*_judged(client, jobs), *_without_end(client, strangers), *_of_nobody(client, lists)]
    findings += [finding for model in models for finding in _misplaced(client, model)]
    findings += _miscounted(client, models) if settled else []
    return Audit(len(keys), sum(key.startswith(Key.JOB) for key in keys), findings)


def _others_live(client: Redis) -> bool:
    """Whether processes of another version are at work."""
    versions = {worker.version for worker in registry.workers(client)}
    return bool((versions | {process.version for process in registry.gateways(client)}) - {VERSION})


def _of_the_living(client: Redis) -> Iterator[str]:
    """The keys of gateways, workers and models that live, or are found to have lapsed soon."""
    for kind in Kind:
        names: Any = client.zrange(f"{Key.LIVE}{kind}", 0, -1)
        for name in names:
            yield f"{Key.CARD}{kind}:{name.decode(errors='replace')}"
            if kind is Kind.GATEWAYS:
                yield f"{name.decode(errors='replace')}:jobs"


def _listed(client: Redis, model: str) -> set[str]:
    """The jobs that a model's indexes name."""
    with client.pipeline(transaction=False) as pipe:
        for key in _SETS:
            pipe.zrange(key.format(model), 0, -1)
        *indexes, running = pipe.execute()
    return {
        *(member.decode(errors="replace") for index in indexes for member in index),
        *(member.decode(errors="replace").rpartition(":")[0] for member in running),
    }


def _sort_in(client: Redis, ids: set[str], jobs: dict[str, set[str]]) -> None:
    """Add jobs to those of their models; what has no ticket belongs to the model ''."""
    for chunk in _chunks(sorted(ids)):
        with client.pipeline(transaction=False) as pipe:
            for job_id in chunk:
                pipe.hget(f"{Key.JOB}{job_id}", "model")
            for job_id, model in zip(chunk, pipe.execute(), strict=True):
                jobs.setdefault(model.decode() if model else "", set()).add(job_id)


def _judged(client: Redis, jobs: dict[str, set[str]]) -> Iterator[Finding]:
    judge = script(client, "audit")
    for model, ids in sorted(jobs.items()):
        for chunk in _chunks(sorted(ids)):
            for job_id, problem in judge(keys=[], args=[model, *chunk]):
                yield Finding(job_id.decode(errors="replace"), problem.decode(errors="replace"))


def _without_end(client: Redis, keys: list[str]) -> Iterator[Finding]:
    for chunk in _chunks(keys):
        with client.pipeline(transaction=False) as pipe:
            for key in chunk:
                pipe.ttl(key)
            for key, ttl in zip(chunk, pipe.execute(), strict=True):
                if ttl == -1:
                    yield Finding(key, "has neither an owner nor a time to live")


def _of_nobody(client: Redis, lists: list[str]) -> Iterator[Finding]:
    for key in lists:
        members: Any = client.smembers(key)
        for chunk in _chunks(sorted(member.decode(errors="replace") for member in members)):
            with client.pipeline(transaction=False) as pipe:
                for job_id in chunk:
                    pipe.hget(f"{Key.JOB}{job_id}", "state")
                for job_id, state in zip(chunk, pipe.execute(), strict=True):
                    if state not in (b"queued", b"in_progress"):
                        yield Finding(job_id, f"neither waits nor runs, and is listed in {key}")


def _miscounted(client: Redis, models: set[str]) -> Iterator[Finding]:
    """Bytes that are counted for jobs that do not hold them, or the other way round."""
    found = script(client, "balance")(keys=[], args=sorted(models))
    for owner, excess in zip(found[::2], found[1::2], strict=True):
        name = owner.decode(errors="replace")
        yield Finding(Key.BYTES, f"{excess:+d} bytes are counted for {'all' if name == '*' else name}")


def _misplaced(client: Redis, model: str) -> Iterator[Finding]:
    """Places in the queue that their jobs do not know."""
    found: Any = client.zrange(f"{Key.WAITING}{model}", 0, -1)
    for chunk in _chunks([place.decode(errors="replace") for place in found]):
        ids = [place.split(":", 3)[-1] for place in chunk]
        with client.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hget(f"{Key.JOB}{job_id}", "place")
            for job_id, place, known in zip(ids, chunk, pipe.execute(), strict=True):
                if known is None or known.decode(errors="replace") != place:
                    yield Finding(job_id, f"does not know its place {place} in the queue")


def _chunks(items: list[str]) -> Iterator[list[str]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
