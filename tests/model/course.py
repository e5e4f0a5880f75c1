"""The model: how a job goes from state to state, and who is told."""

from __future__ import annotations

import math
from collections.abc import Mapping

from shared.codec import encode
from shared.protocol import Done, Event, Failed, State, Usage
from tests.model.job import Entry, Job
from tests.model.living import Living, together
from tests.model.schedule import youngest

CANCELLED = Failed("cancelled", "The job was cancelled.")
OVERDUE = Failed("deadline_exceeded", "The job waited in the queue beyond its deadline.")
MOST_OWNERS_TOLD = 2
"""Here: so few that they are reached."""
AT_ONCE = 1000
"""What the gateway that has sent an answer has to store it, before others do."""


class Course(Living):
    """What clients and workers have in common."""

    def _owned(self, job_id: str, execution: str) -> Job | None:
        job = self.jobs.get(job_id)
        return job if job and job.running and job.exec == execution else None

    def _admit(self, job: Job, visitor: str, reply: str, *, waits: bool, parts: bool) -> None:
        if job.admit(visitor, reply, waits=waits, parts=parts):
            self._reclaim(job)

    def _reclaim(self, job: Job) -> None:
        """No client can come again for it."""
        if job.orphaned:
            drop(self.orphans.get(job.orphaned, []), job.id)
            job.orphaned = None

    def _requeue(self, job: Job, *, lost: bool = False) -> None:
        """A running job waits again, where it waited before; `lost` where its worker has died."""
        self._stop(job)
        job.back, job.lost = self.now, (job.exec, job.started or 0) if lost else None
        job.spent += max(1, self.now - (job.started or 0))
        job.preempted += job.preempt
        job.preempt = False
        job.deadline = self.now + job.patience
        job.state, job.exec = State.QUEUED, ""
        self.schedules[job.model].enlist(job, self.now)
        self.queues[job.model].insert(0, job.id)

    def _preempt(self, model: str, free: int | None) -> None:
        """Ask as many flex jobs back as better ones wait for whom no slot is free."""
        running = [job for job in self.jobs.values() if job.model == model and job.running]
        if free is None:
            free = sum(self.slots[model].values()) - len(running)
        wanted = len(self.schedules[model].better()) - max(0, free) - sum(job.preempt for job in running)
        for job in youngest(job for job in running if job.offered)[: max(0, wanted)]:
            job.offered, job.preempt = False, True

    def _stop(self, job: Job) -> None:
        """It runs and waits no longer."""
        job.offered = False
        if job.running:
            self.schedules[job.model].settle(job, self.now - (job.started or 0))
        else:
            self.schedules[job.model].delist(job)

    def _emit(self, job: Job, entry: Entry) -> None:
        self._record(job, entry)
        for reply in job.replies:
            self._tell(reply, [(job.id, entry)])

    def _record(self, job: Job, entry: Entry) -> None:
        job.begun = True
        job.record.append(entry)
        job.seq, job.by = entry.last, entry.by

    def _tell(self, reply: str, news: list[tuple[str, Entry]]) -> None:
        """In one entry of its reply stream, if a gateway understands that."""
        if reply in self.streams:
            self.streams[reply] += [news] if together(reply) else [[each] for each in news]

    def _fail(self, job: Job, state: State, last: Failed) -> None:
        self._emit(job, Entry(job.seq + 1, job.seq + 1, "0", encode([last])))
        self._finish(job, state, last)

    def _count_wait(self, model: str, what: str, waited: int) -> None:
        self.counts[model][f"{what}:{next((k for k in range(21) if 2**k >= waited), 21)}"] += 1
        self.counts[model][f"{what}_ms"] += waited

    def _finish(self, job: Job, state: State, last: Event) -> None:
        self._stop(job)
        counts = self.counts[job.model]
        failed = isinstance(last, Failed) and state is State.FAILED
        counts[f"jobs:{last.code if failed and isinstance(last, Failed) else state}"] += 1
        if job.started is not None:
            waited = max(0, job.started - job.created)
            self._count_wait(job.model, "wait", waited)
        self._remember(job, state, last)
        if isinstance(last, Done):
            counts["prompt_tokens"] += last.usage.prompt_tokens
            counts["cached_tokens"] += last.usage.cached_tokens
            counts["completion_tokens"] += last.usage.completion_tokens
        if failed and isinstance(last, Failed):
            self.failures.append((job.id, job.model, job.owner, job.worker, last.code, last.message))
            del self.failures[:-100]
        if job.running and job.started is not None:
            held = max(1, self.now - job.started) + job.spent
            for of in ("", f":{job.tier}"):
                n, mean = min(20, counts[f"held{of}"] + 1), counts[f"held_us{of}"]
                counts[f"held_us{of}"], counts[f"held{of}"] = int(mean + (held * 1000 - mean) / n + 0.5), n
            counts[f"busy_ms:{job.tier}"] += held
        job.state, job.ended, job.lingers = state, self.now, None
        if job.unarchived is None:
            self._retire(job)
        else:
            job.size -= len(job.accepted)
            job.unarchived = self.now + AT_ONCE
        if state is not State.COMPLETED:
            self._reclaim(job)

    def _remember(self, job: Job, state: State, last: Event) -> None:
        """How it went, for the history of the last hour."""
        usage = last.usage if isinstance(last, Done) else Usage(0, job.tokens)
        numbers = {"requests": 1, "failed": int(state is State.FAILED), "prompt_tokens": usage.prompt_tokens}
        numbers |= {"cached_tokens": usage.cached_tokens, "output_tokens": usage.completion_tokens}
        if job.started is not None:
            numbers[f"wait.{near(job.started - job.created)}"] = 1
        if job.first is not None:
            numbers[f"first.{near(job.first - job.created)}"] = 1
            further, took = usage.completion_tokens - 1, self.now - job.first
            if further > 0 and took > 0:
                numbers[f"speed.{near(further * 100_000 / took)}"] = 1
        for seconds in (10, 60):
            for of in ("*", *self._told(seconds, job.owner)):
                self._note(seconds, of, job.model, numbers)

    def _told(self, seconds: int, owner: str) -> list[str]:
        """The owner, if there is one, and room for what is told of him."""
        if not owner or self._bucket(seconds, owner) in self.history:
            return [owner] if owner else []
        everybody = self.history[self._bucket(seconds, "*")]
        everybody["owners"] += 1
        return [owner] if everybody["owners"] <= MOST_OWNERS_TOLD else []

    def _note(self, seconds: int, of: str, model: str, numbers: Mapping[str, int]) -> None:
        for what, number in numbers.items():
            if number:
                self.history[self._bucket(seconds, of)][f"{what}:{model}"] += number

    def _bucket(self, seconds: int, of: str) -> tuple[int, int, str]:
        return seconds, self.now // 1000 // seconds * seconds, of

    def _retire(self, job: Job) -> None:
        """It may be forgotten from now on."""
        job.unarchived = None
        self.retained[job.id] = self.now + job.keep * 1000


def near(number: float) -> int:
    """The class of those that lie close to it."""
    return math.ceil(4 * math.log(number) / math.log(2)) if number > 1 else 0


def drop(entries: list[str], entry: str) -> bool:
    """Remove the first one, if there is one."""
    if entry not in entries:
        return False
    entries.remove(entry)
    return True
