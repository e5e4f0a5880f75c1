"""The model: what the heads of shared/scripts/*.lua promise, in plain Python.

Its methods are those of `shared.tickets.Tickets`, with the same answers and errors: clients' are in requests.py,
gateways' in storing.py, workers' in executions.py, what both rest on in course.py. Who lives is in living.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared import tickets
from shared.protocol import Failed, State
from tests.model.course import CANCELLED, OVERDUE, drop
from tests.model.executions import Executions
from tests.model.job import Job
from tests.model.storing import Storing


class World(Storing, Executions):
    """All that Redis is to know, and what is due in it."""

    def sweep(self, model: str, lease_ms: int) -> int:
        last, hold = self.sweeps.get(model, (0, 0))
        if 0 <= self.now - last < 400:
            return 0
        back = self.now < last
        if back or self.now - last > min(3000, lease_ms * 7 / 10):
            hold = self.now + lease_ms
        self.sweeps[model] = self.now, hold
        jobs = [job for job in self.jobs.values() if job.model == model and not job.final]
        self._clamp(model, jobs, lease_ms, back)
        for job in _due(((job.deadline, job) for job in jobs if job.queued), self.now):
            self._fail(job, State.FAILED, OVERDUE)
        for job in _due(((job.lingers, job) for job in jobs if job.lingers is not None), self.now):
            job.lingers = None
            if job.abandoned:
                self._desert(job)
        self._count_permits(model)
        self._sample(model)
        if self.now < hold:
            return 0
        lost = 0
        for job in reversed(_due(((job.lease, job) for job in jobs if job.running), self.now)):
            if job.cancel:
                self._fail(job, State.CANCELLED, CANCELLED)
            elif job.tries >= tickets.MOST_EXECUTIONS:
                told = f"Its workers died under the job {job.tries} times."
                self._fail(job, State.FAILED, Failed("worker_lost", told))
            else:
                self._requeue(job, lost=True)
                lost += 1
        if lost:
            self.counts[model]["recovered"] += lost
        return lost

    def _clamp(self, model: str, jobs: Iterable[Job], lease_ms: int, back: bool) -> None:
        """Nothing is believed for longer than it was meant to be, wherever the clock has jumped to."""
        for job in jobs:
            job.lease = min(job.lease, self.now + lease_ms)
            if job.lingers is not None:
                job.lingers = min(job.lingers, self.now + 60_000)
            if back and job.queued:
                job.deadline = min(job.deadline, self.now + job.patience)
        for job_id, since in self.limbo[model].items():
            self.limbo[model][job_id] = min(since, self.now)

    def _sample(self, model: str) -> None:
        jobs = [job for job in self.jobs.values() if job.model == model]
        numbers = {"queued": sum(job.queued for job in jobs), "busy": sum(job.running for job in jobs)}
        numbers["slots"] = sum(self.slots[model].values())
        if any(numbers.values()):
            self._note(60, "*", model, {**numbers, "samples": 1})

    def _count_permits(self, model: str) -> None:
        """As many as jobs wait; those that lie between the queue and a claim for too long are dropped."""
        limbo, queue, schedule = self.limbo[model], self.queues[model], self.schedules[model]
        for permit in list(self.between[model]):
            if self.now - limbo.setdefault(permit, self.now) >= tickets.STUCK_MS:
                drop(self.between[model], permit)
                limbo.pop(permit)
        self.limbo[model] = {id: since for id, since in limbo.items() if since > self.now - 10 * tickets.STUCK_MS}
        permits = len(queue)
        waiting = sorted(schedule.waiting.values(), key=lambda job: (job.deadline, job.id))
        queue += [job.id for job in waiting[: max(0, len(waiting) - permits)]]
        del queue[len(waiting) :]
        better = schedule.better()
        if permits and better and self.now - better[0].created >= 500:
            self._preempt(model, 0)


def _due(timed: Iterable[tuple[int, Job]], now: int) -> list[Job]:
    """Those whose time has come, the earliest first."""
    return [job for time, job in sorted(timed, key=lambda each: (each[0], each[1].id)) if time <= now]
