"""The whole of Redis as one value, and what the model says that it must be: {key: (type, whether it ends, value)}."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from redis import Redis

from shared.registry import Kind
from tests.model.job import Entry, Job
from tests.model.living import together
from tests.model.schedule import Schedule
from tests.model.world import World

Picture = dict[str, tuple[str, bool, Any]]

_ALL = """
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, value = redis.call('TYPE', key).ok, nil
  if string.sub(key, 1, 7) == 'rq:job:' then -- the rest is RQ's own, put there as it came
    value = {}
    for _, name in ipairs({ 'status', 'worker_name' }) do
      local field = redis.call('HGET', key, name)
      if field then value[#value + 1] = name; value[#value + 1] = field end
    end
  elseif kind == 'string' then value = redis.call('GET', key)
  elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
  elseif kind == 'set' then value = redis.call('SMEMBERS', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'stream' then
    value = redis.call('XRANGE', key, '-', '+')
    for _, entry in ipairs(value) do
      if entry[2][1] == 'm' then entry[2][2] = cmsgpack.unpack(entry[2][2]) end
    end
  end
  local ttl = redis.call('PTTL', key)
  if ttl >= 0 and ttl < 1000000 then return redis.error_reply(key .. ' may end by itself while the world lasts') end
  all[#all + 1] = { key, kind, ttl >= 0, value }
end
return cjson.encode(all)
"""
CLOCK = "clock"
"""The key of the test's own clock."""


def take(client: Redis) -> Picture:
    """Everything, seen at one moment."""
    found: Any = client.eval(_ALL, 0)
    return {key: (kind, ends, _value(key, kind, value)) for key, kind, ends, value in json.loads(found) if key != CLOCK}


def _value(key: str, kind: str, value: Any) -> Any:
    if kind == "set":
        return sorted(value)
    if kind == "stream":
        entries = [_entry(entry_id, _pairs(fields)) for entry_id, fields in value]
        return entries if key.startswith("iq:events:") else [fields for _, fields in entries]  # ids by Redis's clock
    if kind in ("hash", "zset"):
        fields = _pairs(value)
        return fields | _sets(fields) if key.startswith("iq:job:") else fields
    return value


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _sets(ticket: dict[str, str]) -> dict[str, Any]:
    return {name: sorted(ticket[name].split()) for name in ("reply", "waiting") if name in ticket}


def _entry(entry_id: str, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if fields.get("x") == "0":  # written by Lua: the order of its fields is no part of the contract
        fields["e"] = json.loads(fields["e"])
    for told in fields.get("m", ()):
        if told[3] == "0":
            told[4] = json.loads(told[4])
    return entry_id, fields


def paint(world: World) -> Picture:
    """What Redis must look like."""
    stays = world.streams.keys() | {f"iq:exec:{execution}" for execution in world.marks}
    return {key: (kind, ends, value) for key, kind, ends, value in _keys(world) if value or key in stays}


def _keys(world: World) -> Iterator[tuple[str, str, bool, Any]]:
    for job in world.jobs.values():
        yield from _of_job(job)
    indexed = world.asked | world.queues.keys() | world.between.keys() | world.sweeps.keys()
    for model in indexed | set(world.registered.values()):
        yield from _of_model(world, model)
    for reply, entries in world.streams.items():
        yield reply, "stream", True, [_told(news, together(reply)) for news in entries]
    for reply in {reply for job in world.jobs.values() for reply in job.replies}:
        listed = sorted(job.id for job in world.jobs.values() if not job.final and reply in job.replies)
        yield f"{reply}:jobs", "set", False, listed
    for key, (holder, fingerprint) in world.keys.items():
        yield f"iq:idempotency:{key}", "hash", True, {"job": holder, "fingerprint": fingerprint}
    yield "iq:weights", "hash", False, {owner: f"{weight:g}" for owner, weight in world.weights.items()}
    for owner in {job.owner for job in world.jobs.values()} - {""}:
        yield f"iq:owned:{owner}", "set", False, world.owned(owner)
    for execution, job_id in world.marks.items():
        yield f"iq:exec:{execution}", "string", True, job_id
    for (fingerprint, number), ids in world.orphans.items():
        yield f"iq:orphans:{fingerprint}:{number}", "list", True, ids
    for visitor, job_id in world.joined.items():
        yield f"iq:joined:{visitor}", "string", True, job_id
    name, since = world.evicting
    yield "iq:evicting", "hash", True, {"name": name, "since": str(since)} if name else {}
    yield "iq:retained", "zset", True, {job_id: str(until) for job_id, until in world.retained.items()}
    unarchived = {job.id: str(job.unarchived) for job in world.jobs.values() if job.unarchived is not None}
    yield "iq:unarchived", "zset", False, unarchived
    owners = {job.owner for job in world.jobs.values()}
    held = {owner: world.held(owner) for owner in owners - {""}} | {
        "*": world.held(),
        "*unarchived": world.unarchived(),
    }
    yield "iq:bytes", "hash", True, {owner: str(count) for owner, count in held.items() if count}
    for kind in Kind:
        yield f"iq:live:{kind}", "zset", False, {name: str(until) for name, until in world.live[kind].items()}
    for (kind, name), card in world.cards.items():
        yield f"iq:card:{kind}:{name}", "string", False, card
    yield "iq:lease", "string", False, str(world.lease or "")
    last, hold = world.lapsing
    yield (
        "iq:lapse",
        "hash",
        False,
        dict.fromkeys(("last", "ours", "counts"), str(last)) | {"hold": str(hold)} if last else {},
    )
    names = ("job", "model", "owner", "worker", "code", "message")
    yield "iq:failures", "stream", False, [dict(zip(names, failure, strict=True)) for failure in world.failures]
    for (seconds, start, of), counted in world.history.items():
        told = {name: str(number) for name, number in counted.items()}
        yield f"iq:history:{seconds}:{start}:{of}", "hash", True, told
    for name, marks in (("readers", world.readers), ("read_before", world.read_before)):
        for model, known in marks.items():
            yield f"iq:{name}:{model}", "hash", True, {mark: "\n".join(workers) for mark, workers in known.items()}
    for worker, permits in world.permits.items():
        yield f"iq:permits:{worker}", "list", True, permits
    yield "rq:queues", "set", False, sorted(f"rq:queue:{model}" for model in world.asked)
    yield "rq:workers", "set", False, sorted(f"rq:worker:{name}" for name in world.registered)


def _of_job(job: Job) -> Iterator[tuple[str, str, bool, Any]]:
    head = {
        "tier": job.tier,
        "place": job.place,
        "state": job.state,
        "model": job.model,
        "owner": job.owner,
        "exec": job.exec,
        "by": job.by,
        "head": job.head.decode(),
    }
    numbers = {"created": job.created, "wait": job.wait, "deadline": job.deadline, "keep": job.keep, "seq": job.seq}
    numbers |= {"tokens": job.tokens, "tries": job.tries, "cancel": int(job.cancel)}
    sets = {"reply": sorted(job.replies), "waiting": sorted(f"{visitor}@{at}" for visitor, at in job.waiting)}
    where_there = {
        "started": job.started,
        "first": job.first,
        "ended": job.ended,
        "worker": job.worker,
        "returned": job.returned,
    }
    where_there |= {"kept": int(job.kept), "parts": int(job.parts), "joined": int(job.joined)}
    where_there |= {"deserted": int(job.deserted), "charge": job.charge}
    where_there |= {"preempt": int(job.preempt), "preempted": job.preempted, "spent": job.spent}
    where_there |= {
        "bytes": 0 if job.ends else job.size,
        "removed": int(job.removed),
        "conversation": job.conversation,
        "orphan": ":".join(map(str, job.orphaned or ())),
    }
    where_there |= {"trail": job.trail, "left": job.left, "overtaken": job.overtaken}
    where_there |= {"back": job.back, "lost": ":".join(map(str, job.lost or ()))}
    where_there |= {"idempotency": f"iq:idempotency:{job.key}" if job.key else ""}
    ticket = {**head, **numbers, **{name: value for name, value in where_there.items() if value}}
    yield f"iq:job:{job.id}", "hash", job.ends, {name: str(value) for name, value in ticket.items()} | sets
    if job.begun:
        entries = [
            ("0-1", {"f": "0", "x": "", "e": job.head.decode()}),
            *((f"{e.last}-0", _fields(e)) for e in job.record),
        ]
        yield f"iq:events:{job.id}", "stream", job.ends, entries
    if job.given is not None:
        yield f"iq:given:{job.id}", "string", False, job.given
    if not job.final:
        yield f"iq:task:{job.id}", "string", job.begun, job.accepted.decode()
    if not job.final:
        shown = {"status": "started" if job.running else "queued"}
        yield f"rq:job:{job.id}", "hash", False, shown | ({"worker_name": job.worker} if job.worker else {})


def _fields(entry: Entry) -> dict[str, Any]:
    blob = json.loads(entry.blob) if entry.by == "0" else entry.blob.decode()
    return {"f": str(entry.first), "x": entry.by, "e": blob}


def _told(news: list[tuple[str, Entry]], together: bool) -> dict[str, Any]:
    """An entry of a reply stream."""
    if together:
        return {"m": [[job_id, e.first, e.last, e.by, _fields(e)["e"]] for job_id, e in news]}
    ((job_id, e),) = news
    return {"j": job_id, "l": str(e.last), **_fields(e)}


def _of_model(world: World, model: str) -> Iterator[tuple[str, str, bool, Any]]:
    jobs = [job for job in world.jobs.values() if job.model == model]
    yield from _of_schedule(model, world.schedules[model])
    yield f"iq:slots:{model}", "hash", False, {name: str(slots) for name, slots in world.slots[model].items()}
    flex = {job.id: str(job.started) for job in jobs if job.running and job.offered}
    yield f"iq:flex:{model}", "zset", False, flex
    yield f"iq:preempted:{model}", "zset", False, {job.id: "0" for job in jobs if job.running and job.preempt}
    yield f"rq:queue:{model}", "list", False, world.queues[model]
    yield f"rq:queue:{model}:intermediate", "list", False, world.between[model]
    yield f"iq:deadlines:{model}", "zset", False, {job.id: str(job.deadline) for job in jobs if job.queued}
    yield f"iq:leases:{model}", "zset", False, {job.id: str(job.lease) for job in jobs if job.running}
    yield f"rq:wip:{model}", "zset", False, {f"{job.id}:{job.exec}": "inf" for job in jobs if job.running}
    lingering = {job.id: str(job.lingers) for job in jobs if job.lingers is not None}
    yield f"iq:lingering:{model}", "zset", False, lingering
    yield f"iq:limbo:{model}", "zset", False, {job_id: str(since) for job_id, since in world.limbo[model].items()}
    counts = {name: str(number) for name, number in world.counts.get(model, {}).items()}
    yield f"iq:counts:{model}", "hash", False, counts
    last, hold = world.sweeps.get(model, (0, 0))
    swept = dict.fromkeys(("last", "ours", "counts"), str(last)) | {"hold": str(hold)} if last else {}
    yield f"iq:sweep:{model}", "hash", True, swept
    registered = sorted(f"rq:worker:{name}" for name, of in world.registered.items() if of == model)
    yield f"rq:workers:{model}", "set", False, registered


def _of_schedule(model: str, schedule: Schedule) -> Iterator[tuple[str, str, bool, Any]]:
    yield f"iq:waiting:{model}", "zset", False, dict.fromkeys(schedule.waiting, "0")
    yield f"iq:schedule:{model}", "hash", False, {name: str(number) for name, number in schedule.counts.items()}
    for rank in (1, 2, 3):
        yield f"iq:turns:{model}:{rank}", "zset", False, _texts(schedule.turns[rank])
        yield f"iq:tags:{model}:{rank}", "zset", False, _texts(schedule.tags[rank])
        yield f"iq:lines:{model}:{rank}", "hash", False, _texts(schedule.lines(rank))


def _texts(numbers: dict[str, int]) -> dict[str, str]:
    return {name: str(number) for name, number in numbers.items()}
