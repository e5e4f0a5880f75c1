"""The model: what clients do, through their gateways."""

from __future__ import annotations

from collections.abc import Sequence

from shared import unarchived
from shared.codec import encode, encode_given
from shared.errors import (
    ArchiveUnavailable,
    IdempotencyKeyReused,
    JobNotFound,
    KeyFull,
    KeyMemoryFull,
    MemoryFull,
    QueueFull,
)
from shared.protocol import Accepted, State
from shared.ticket import ORDINARY, Attempt, Sighting, Standing, Tier
from shared.trail import trail
from tests.model.course import CANCELLED, Course
from tests.model.job import Job

FRAME = 6000
"""Bytes of a job beside its task and its events."""
LOOK = 8
"""Orphans that one attempt looks at."""


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
        most_bytes: int | None = None,
        most_unarchived_bytes: int | None = None,
    ) -> str:
        def give(job: Job) -> str:
            if not job.final:
                self._admit(job, visitor, reply, waits=attempt.waits, parts=attempt.parts)
            return job.id

        def join(job: Job) -> str:
            job.joined = True
            return give(job)

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
            if held and held.joinable:
                return join(held)
            mine = self.jobs.get(self.joined.get(visitor, ""))
            if attempt.number and mine and mine.joinable:
                return join(mine)
            left = self.orphans.get((attempt.fingerprint, attempt.number - 1), [])
            for _ in range(min(LOOK, len(left))):
                orphan = self.jobs.get(left.pop(0))
                if orphan is None:
                    continue
                orphan.orphaned = None
                if orphan.joinable and not orphan.waiting:
                    self.joined[visitor] = orphan.id
                    return join(orphan)
        model = accepted.task.model
        if len(self.schedules[model].waiting) >= max_queue and not again:
            raise QueueFull("")
        owner = accepted.owner
        if not again and owner and 0 < standing.most <= len(self.owned(owner)):  # nobody has no bound
            raise KeyFull("")
        blob, head, patience = encode([accepted.alone()]), encode([accepted.head()]), int(wait * 1000)
        kept = accepted.options.kept
        given = encode_given(kept.given).decode() if kept else None
        size = len(blob) + len(head) + len(given or "") + FRAME
        if not again and owner and 0 < standing.most_bytes < self.held(owner) + size:
            raise KeyMemoryFull("")
        if not again and most_bytes is not None and most_bytes < self.held() + size:
            raise MemoryFull("")
        if not again and kept and self._is_full(most_unarchived_bytes):
            raise ArchiveUnavailable("")
        job = Job(job_id, model, owner, blob, head, self.now, patience, keep, self.now + patience, standing.tier, size)
        job.trail = trail(accepted)
        job.given, job.unarchived = given, 0 if kept else None
        job.conversation = kept.conversation if kept else ""
        if attempt.idempotency and not (again and held):
            job.key = attempt.idempotency
            self.keys[job.key] = job_id, attempt.fingerprint
        self.jobs[job_id] = job
        self.retained.pop(job_id, None)
        self.asked.add(model)
        self.weights.pop(owner, None)
        if standing.weight != 1:
            self.weights[owner] = standing.weight
        self.schedules[model].enlist(job, self.now)
        self.queues[model].append(job_id)
        if standing.tier is not Tier.FLEX:
            self._preempt(model, None)
        return give(job)

    def _is_full(self, most_bytes: int | None) -> bool:
        """No more answers may wait to be stored."""
        count = sum(bool(job.unarchived) for job in self.jobs.values())
        too_large = most_bytes is not None and self.unarchived() > most_bytes
        return count >= unarchived.MOST_UNARCHIVED or (count > 0 and too_large)

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
        if job is None or (job.final and not (job.state is State.COMPLETED and linger)):
            return
        job.dismiss(visitor, reply)
        if not job.abandoned:
            return
        if not linger:
            self._desert(job)
            return
        if not job.final:
            job.lingers = self.now + int(linger * 1000)
        self._reclaim(job)
        job.orphaned = attempt.fingerprint, attempt.number
        orphans = self.orphans.setdefault(job.orphaned, [])
        for oldest in orphans[:2]:
            if not self._is_over(oldest):
                break
            del orphans[0]
        orphans.append(job_id)

    def _is_over(self, job_id: str) -> bool:
        """No client will come again for it."""
        job = self.jobs.get(job_id)
        return job is None or not job.joinable or (job.ended is not None and self.now - job.ended > 60_000)

    def evict(self, name: str, wanted: int, most: int) -> int:
        """How many went, where so much is wanted that all may."""
        other, since = self.evicting
        if other not in ("", name) and 0 <= self.now - since < 900:
            return 0
        self.evicting, gone = (name, self.now), 0
        for job_id in sorted(self.retained, key=lambda each: (self.retained[each], each))[:most]:
            job = self.jobs.get(job_id)
            if job is None or job.ended is None:
                del self.retained[job_id]
            elif not job.replies or self.now - job.ended >= 15_000:
                del self.retained[job_id]
                del self.jobs[job_id]
                if job.key and self.keys.get(job.key, ("", ""))[0] == job_id:
                    del self.keys[job.key]
                gone += 1
        return gone

    def attach(self, reply: str, sightings: Sequence[Sighting]) -> dict[int, bool]:
        differing = {}
        for index, seen in enumerate(sightings):
            job = self.jobs.get(seen.job_id)
            if job is None or (job.seq, job.by) != (seen.number, seen.by):
                differing[index] = job is not None
            if job and not job.final:
                self._admit(job, seen.visitor, reply, waits=True, parts=seen.parts)
        return differing
