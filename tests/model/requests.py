"""The model: what clients do, through their gateways."""

from __future__ import annotations

from collections.abc import Sequence

from shared.codec import encode
from shared.errors import IdempotencyKeyReused, JobNotFound, KeyFull, QueueFull
from shared.protocol import Accepted, State
from shared.ticket import ORDINARY, Attempt, Sighting, Standing, Tier
from tests.model.course import CANCELLED, Course, drop
from tests.model.job import Job


class Requests(Course):
    """They come, come again and leave; gateways compare."""

    def submit(
        self,
        job_id: str,
        accepted: Accepted,
        *,
        reply: str,
        max_queue: int,
        wait: float,
        keep: int,
        attempt: Attempt,
        visitor: str,
        again: bool,
        standing: Standing = ORDINARY,
    ) -> str:
        def give(job: Job) -> str:
            if not job.final:
                job.admit(visitor, reply, waits=attempt.waits, parts=attempt.parts)
            return job.id

        known = self.jobs.get(job_id)
        if known and again and known.state is State.CANCELLED and known.deserted:
            del self.jobs[job_id]
        elif known:
            return give(known)
        holder, fingerprint = self.keys.get(attempt.idempotency, ("", ""))
        held = self.jobs.get(holder)
        if not again:
            if held and fingerprint != attempt.fingerprint:
                raise IdempotencyKeyReused("")
            left = self.orphans.get((attempt.fingerprint, attempt.number - 1), ())
            mine = [job for job in map(self.jobs.get, left) if job and job.waiting in ([], [(visitor, reply)])]
            for other in ([held] if held else []) + mine:
                if other.joinable:
                    other.joined = True
                    return give(other)
        model = accepted.task.model
        if len(self.schedules[model].waiting) >= max_queue and not again:
            raise QueueFull("")
        owner = accepted.owner
        if not again and owner and 0 < standing.most <= len(self.owned(owner)):  # nobody has no bound
            raise KeyFull("")
        blob, patience = encode([accepted]), int(wait * 1000)
        job = Job(job_id, model, owner, blob, self.now, patience, keep, self.now + patience, standing.tier)
        if attempt.idempotency and not (again and held):
            job.key = attempt.idempotency
            self.keys[job.key] = job_id, attempt.fingerprint
        self.jobs[job_id] = job
        self.asked.add(model)
        self.weights.pop(owner, None)
        if standing.weight != 1:
            self.weights[owner] = standing.weight
        self.schedules[model].enlist(job)
        self.queues[model].append(job_id)
        if standing.tier is not Tier.FLEX:
            self._preempt(model, None)
        return give(job)

    def position(self, job_id: str) -> int | None:
        job = self.jobs.get(job_id)
        if job is None or not job.queued:
            return None
        return self.schedules[job.model].position(job, self.counts[job.model]["held_us"])

    def cancel(self, job_id: str, *, unless_joined: bool) -> State:
        job = self.jobs.get(job_id)
        if job is None:
            raise JobNotFound(job_id)
        if not (unless_joined and job.joined):
            job.deserted = False
            self._cancel(job)
        return job.state

    def _desert(self, job: Job) -> None:
        job.deserted = True
        self._cancel(job)

    def _cancel(self, job: Job) -> None:
        if job.queued:
            self._fail(job, State.CANCELLED, CANCELLED)
        elif job.running:
            job.cancel = True

    def leave(self, job_id: str, visitor: str, reply: str, attempt: Attempt, linger: float) -> None:
        job = self.jobs.get(job_id)
        if job is None or job.final:
            return
        job.dismiss(visitor, reply)
        if not job.abandoned:
            return
        if not linger:
            self._desert(job)
            return
        job.lingers = self.now + int(linger * 1000)
        orphans = self.orphans.setdefault((attempt.fingerprint, attempt.number), [])
        drop(orphans, job_id)
        orphans.append(job_id)

    def attach(self, reply: str, sightings: Sequence[Sighting]) -> dict[int, bool]:
        differing = {}
        for index, seen in enumerate(sightings):
            job = self.jobs.get(seen.job_id)
            if job is None or (job.seq, job.by) != (seen.number, seen.by):
                differing[index] = job is not None
            if job and not job.final:
                job.admit(seen.visitor, reply, waits=True, parts=seen.parts)
        return differing
