"""The model's other half: who lives, reply streams, and what ends by itself."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict

from shared.card import Card
from shared.config import ConfigError
from shared.registry import GATEWAY_TTL, MODEL_TTL, WORKER_TTL, GatewayProcess, Kind, Worker
from shared.tickets import RETURN_SECONDS
from tests.model.job import Entry, Job
from tests.model.schedule import RANKS, Schedule

TTL = {Kind.GATEWAYS: GATEWAY_TTL, Kind.WORKERS: WORKER_TTL, Kind.MODELS: MODEL_TTL}


def together(reply: str) -> bool:
    """Whether an entry of the reply stream may tell of several jobs. Release 0.1.0 understands one."""
    return reply.startswith("iq:reply:2:")


class Living:
    """Who lives, and what is kept for them."""

    def __init__(self) -> None:
        self.now = 0
        self.jobs: dict[str, Job] = {}
        self.weights: dict[str, float] = {}
        self.schedules: defaultdict[str, Schedule] = defaultdict(lambda: Schedule(self.weights))
        self.marks: dict[str, str] = {}
        """The job that an execution was given, or ''."""
        self.slots: defaultdict[str, dict[str, int]] = defaultdict(dict)
        """Of a model's ready workers."""
        self.readers: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
        """Of a model's prompts by their marks: who has read them, the last one first."""
        self.read_before: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
        """The same of those before these."""
        self.permits: defaultdict[str, list[str]] = defaultdict(list)
        """Workers' own."""
        self.queues: defaultdict[str, list[str]] = defaultdict(list)
        self.between: defaultdict[str, list[str]] = defaultdict(list)
        self.limbo: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.asked: set[str] = set()
        """Models that have a queue."""
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.history: defaultdict[tuple[int, int, str], Counter[str]] = defaultdict(Counter)
        """What happened in so many seconds from a Unix time on, to an owner's jobs or `*` to those of all."""
        self.failures: list[tuple[str, ...]] = []
        self.keys: dict[str, tuple[str, str]] = {}
        """The job and the fingerprint of an Idempotency-Key."""
        self.orphans: dict[tuple[str, int], list[str]] = {}
        self.joined: dict[str, str] = {}
        """The orphan that a visitor was given."""
        self.retained: dict[str, int] = {}
        """Jobs that have ended, and until when they can be read."""
        self.evicting = ("", 0)
        """Who makes room, and since when."""
        self.streams: dict[str, list[list[tuple[str, Entry]]]] = {}
        """Entries of reply streams, and what each tells of jobs."""
        self.sweeps: dict[str, tuple[int, int]] = {}
        self.lapsing = (0, 0)
        """When it was last done, and until when it holds still."""
        self.lease: int | None = None
        self.live: dict[Kind, dict[str, int]] = {kind: {} for kind in Kind}
        self.cards: dict[tuple[Kind, str], str] = {}
        self.registered: dict[str, str] = {}
        """The models of RQ's workers by their names."""

    def announce_worker(self, worker: Worker, lease_ms: int) -> None:
        self.registered[worker.name] = worker.model
        self._announce(Kind.WORKERS, worker.name, worker, lease_ms)
        self.slots[worker.model].pop(worker.name, None)
        if worker.card:
            self.slots[worker.model][worker.name] = worker.card.slots
            self._announce(Kind.MODELS, worker.card.id, worker.card)

    def announce_gateway(self, gateway: GatewayProcess, lease_ms: int) -> None:
        self._announce(Kind.GATEWAYS, gateway.name, gateway, lease_ms)

    def _announce(
        self, kind: Kind, name: str, card: Worker | GatewayProcess | Card, lease_ms: int | None = None
    ) -> None:
        if lease_ms is not None and self.lease != lease_ms:
            alive = [
                (group, other)
                for group in (Kind.GATEWAYS, Kind.WORKERS)
                for other, until in self.live[group].items()
                if until >= self.now
            ]
            if self.lease is not None and set(alive) - {(kind, name)}:
                raise ConfigError("")
            self.lease = lease_ms
        self.live[kind][name] = self.now + TTL[kind] * 1000
        self.cards[kind, name] = json.dumps(asdict(card))

    def leave_gateway(self, name: str) -> None:
        if name in self.live[Kind.GATEWAYS]:
            self.live[Kind.GATEWAYS][name] = 0

    def withdraw(self, name: str) -> None:
        self.registered.pop(name, None)
        for slots in self.slots.values():
            slots.pop(name, None)
        self._forget(Kind.WORKERS, name)

    def _forget(self, kind: Kind, name: str) -> None:
        self.live[kind].pop(name, None)
        self.cards.pop((kind, name), None)

    def names(self, kind: Kind) -> list[str]:
        """Who lives, by name."""
        return sorted(name for name, until in self.live[kind].items() if until >= self.now)

    def listen(self, reply: str, read: int) -> bool:
        """A gateway has read so many entries of its stream."""
        there = reply in self.streams
        del self.streams.setdefault(reply, [])[:read]
        return there

    def lapse(self) -> None:
        last, hold = self.lapsing
        if 0 <= self.now - last < 400:
            return
        if self.now < last or self.now - last > 3000:
            hold = self.now + 10_000
        self.lapsing = self.now, hold
        self.retained = {job_id: until for job_id, until in self.retained.items() if until > self.now}
        if self.now < hold:
            return
        for reply in self._lapsed(Kind.GATEWAYS):
            jobs = [job for job in self.jobs.values() if not job.final and reply in job.replies]
            for job in jobs:
                self._orphan(job, reply)
            if not jobs:  # the next time, once there are none
                self.streams.pop(reply, None)
                self._forget(Kind.GATEWAYS, reply)
        for name in self._lapsed(Kind.WORKERS):
            self.withdraw(name)
        for model in self._lapsed(Kind.MODELS):
            self._forget(Kind.MODELS, model)
            self.asked.add(model)
            self.counts[model]["unneeded"] = 0
        for model in list(self.asked):
            counts = self.counts[model]
            if model in self.live[Kind.MODELS] or (
                self.queues[model] or self.between[model] or self.limbo[model] or self._runs(model)
            ):
                counts.pop("unneeded", None)
            elif not 0 <= counts.get("unneeded", -1) <= self.now:
                counts["unneeded"] = self.now
            elif self.now - counts["unneeded"] >= TTL[Kind.MODELS] * 1000:
                self.asked.remove(model)
                self.counts.pop(model, None)
                self.schedules[model].forget()

    def _lapsed(self, kind: Kind) -> list[str]:
        """Whom nobody has announced lately. Nobody is believed for longer than he was meant to be."""
        group = self.live[kind]
        for name in group:
            group[name] = min(group[name], self.now + TTL[kind] * 1000)
        return [name for name, until in group.items() if until < self.now]

    def _orphan(self, job: Job, reply: str) -> None:
        """Its clients at a gateway that died are gone, but may come again to another one, or read it there already."""
        job.replies.remove(reply)
        job.waiting = [(visitor, at) for visitor, at in job.waiting if at != reply]
        if job.abandoned and not job.replies and job.lingers is None:
            job.lingers = self.now + int(RETURN_SECONDS * 1000)

    def owned(self, owner: str) -> list[str]:
        """The jobs of an owner that wait or run."""
        return sorted(job.id for job in self.jobs.values() if job.owner == owner and not job.final)

    def held(self, owner: str = "") -> int:
        """What the jobs of an owner that wait or run hold, or those of all, and what waits to be stored."""
        running = sum(job.size for job in self.jobs.values() if not job.final and owner in ("", job.owner))
        return running if owner else running + self.unarchived()

    def unarchived(self) -> int:
        """What those hold that have ended and wait to be stored."""
        return sum(job.size for job in self.jobs.values() if job.unarchived)

    def _runs(self, model: str) -> bool:
        return any(job.model == model and not job.final for job in self.jobs.values())

    def endings(self) -> list[tuple[str, ...]]:
        """Redis keys that end together by themselves, sooner or later."""
        ends: list[tuple[str, ...]] = [(f"iq:job:{j.id}", f"iq:events:{j.id}") for j in self.jobs.values() if j.ends]
        ends += [(f"iq:idempotency:{key}",) for key in self.keys]
        ends += [(f"iq:orphans:{fingerprint}:{number}",) for fingerprint, number in self.orphans]
        ends += [(f"iq:joined:{visitor}",) for visitor in self.joined]
        ends += [("iq:evicting",)] if self.evicting[0] else []
        ends += [(f"iq:sweep:{model}",) for model in self.sweeps]
        ends += [(f"iq:history:{seconds}:{start}:{of}",) for seconds, start, of in self.history]
        ends += [(f"iq:readers:{model}",) for model, marks in self.readers.items() if marks]
        ends += [(f"iq:read_before:{model}",) for model, marks in self.read_before.items() if marks]
        ends += [(f"iq:permits:{worker}",) for worker, permits in self.permits.items() if permits]
        return ends + [(reply,) for reply in self.streams]

    def end(self, *keys: str) -> None:
        """Their time has come."""
        for key in keys:
            self.jobs.pop(key.removeprefix("iq:job:"), None)
            self.keys.pop(key.removeprefix("iq:idempotency:"), None)
            self.sweeps.pop(key.removeprefix("iq:sweep:"), None)
            self.streams.pop(key, None)
            self.joined.pop(key.removeprefix("iq:joined:"), None)
            self.readers.pop(key.removeprefix("iq:readers:"), None)
            self.read_before.pop(key.removeprefix("iq:read_before:"), None)
            self.permits.pop(key.removeprefix("iq:permits:"), None)
            self.evicting = ("", 0) if key == "iq:evicting" else self.evicting
            if key.startswith("iq:history:"):
                seconds, start, of = key.removeprefix("iq:history:").split(":")
                self.history.pop((int(seconds), int(start), of), None)
            fingerprint, _, number = key.removeprefix("iq:orphans:").rpartition(":")
            if number.isdigit():
                self.orphans.pop((fingerprint, int(number)), None)

    def lose_permit(self, model: str) -> None:
        del self.queues[model][:1]

    def hint(self, model: str, entry: str) -> None:
        """An entry that says nothing true: late, or of somebody else."""
        self.queues[model].insert(0, entry)

    def paces(self, model: str) -> list[int]:
        counts, answer = self.counts[model], [self.now]
        for tier, rank in RANKS.items():
            places = [place for place in self.schedules[model].waiting if place.startswith(f"{rank}:")]
            held = counts[f"held_us:{tier}"] or counts["held_us"]
            answer += [held, len(places), counts[f"busy_ms:{tier}"]]
        jobs = [job for job in self.jobs.values() if job.model == model and job.running]
        for job in sorted(jobs, key=lambda job: (job.lease, job.id)):
            answer += [RANKS[job.tier], max(0, self.now - (job.started or 0)) + job.spent]
        return answer
