"""The model: what the heads of shared/scripts/*.lua promise, in plain Python.

Its methods are those of `shared.tickets.Tickets`, with the same answers and errors. Who lives is in living.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from shared import tickets
from shared.codec import encode
from shared.errors import IdempotencyKeyReused, InferqError, JobNotFound, KeyFull, QueueFull
from shared.protocol import Accepted, Delta, Done, Event, Failed, StartOver, State
from shared.ticket import ORDINARY, Answer, Attempt, Claim, Sighting, Standing, Tier
from tests.model.job import Addition, Entry, Job
from tests.model.living import Living, together
from tests.model.schedule import MOST_PREEMPTIONS, youngest

CANCELLED = Failed("cancelled", "The job was cancelled.")
OVERDUE = Failed("deadline_exceeded", "The job waited in the queue beyond its deadline.")


class World(Living):
    """All that Redis is to know."""

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
        if not again and 0 < standing.most <= len(self.owned(owner)):
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

    def claim(self, model: str, permit: str, execution: str, *, lease_ms: int, worker: str) -> Claim | None:
        while _take(self.between[model], permit):
            pass
        self.limbo[model].pop(permit, None)
        if execution not in self.marks:
            chosen = self.schedules[model].choose(self.now, self._runnable)
            self.marks[execution] = chosen.id if chosen else ""
            if chosen:
                self._begin(chosen, execution, lease_ms, worker)
        job = self.jobs.get(self.marks[execution])
        if job is None or job.exec != execution:
            return None
        assert job.started is not None
        return Claim(job.id, job.seq, job.tries, job.accepted, job.started - job.created)

    def _runnable(self, job: Job) -> bool:
        if self.now < job.deadline:
            return True
        self._fail(job, State.FAILED, OVERDUE)
        return False

    def _begin(self, job: Job, execution: str, lease_ms: int, worker: str) -> None:
        self.schedules[job.model].charge(job, self.counts[job.model]["held_us"])
        job.state, job.exec, job.worker, job.started = State.IN_PROGRESS, execution, worker, self.now
        job.lease = self.now + lease_ms
        job.tries += 1
        job.offered = job.tier is Tier.FLEX and job.preempted < MOST_PREEMPTIONS

    def _preempt(self, model: str, free: int | None) -> None:
        """Ask as many flex jobs back as better ones wait for whom no slot is free."""
        running = [job for job in self.jobs.values() if job.model == model and job.running]
        if free is None:
            free = sum(self.slots[model].values()) - len(running)
        wanted = len(self.schedules[model].better()) - max(0, free) - sum(job.preempt for job in running)
        for job in youngest(job for job in running if job.offered)[: max(0, wanted)]:
            job.offered, job.preempt = False, True

    def decline(self, model: str, job_id: str, execution: str) -> None:
        job = self._owned(job_id, execution)
        if job and job.preempt:
            job.preempt = False
            self._preempt(model, None)

    def position(self, job_id: str) -> int | None:
        job = self.jobs.get(job_id)
        if job is None or not job.queued:
            return None
        return self.schedules[job.model].position(job, self.counts[job.model]["held_us"])

    def append(self, model: str, additions: Sequence[Addition]) -> list[tuple[Answer, int] | None]:
        news: defaultdict[str, list[tuple[str, Entry]]] = defaultdict(list)
        answers = [self._append(addition, news) for addition in additions]
        for reply, told in news.items():
            self._tell(reply, told)
        return answers

    def _append(self, addition: Addition, news: dict[str, list[tuple[str, Entry]]]) -> tuple[Answer, int] | None:
        job_id, execution, first, events, state = addition
        if not events:
            return None
        job = self.jobs.get(job_id)
        if job is None or job.exec != execution:
            return Answer.FENCED, job.seq if job else 0
        last = first + len(events) - 1
        stored = last <= job.seq and job.by == execution
        if not stored:
            if last <= job.seq or not job.running:
                return Answer.FENCED, job.seq
            if first != job.seq + 1:
                return Answer.RESEND, job.seq
            entry = Entry(first, last, execution, encode(events))
            self._record(job, entry)
            for reply in job.replies:
                news[reply].append((job_id, entry))
            job.tokens += sum(len(event.tokens) for event in events if isinstance(event, Delta))
            if state:
                self._finish(job, state, events[-1])
        return _answer(job), job.seq

    def renew(self, model: str, lease_ms: int, executions: Sequence[tuple[str, str]]) -> list[Answer]:
        return [self._renew(lease_ms, *pair) for pair in executions]

    def _renew(self, lease_ms: int, job_id: str, execution: str) -> Answer:
        job = self._owned(job_id, execution)
        if job is None:
            return Answer.FENCED
        job.lease = self.now + lease_ms
        return _answer(job)

    def release(self, model: str, executions: Sequence[tuple[str, str]]) -> int:
        return self._return(executions)

    def hand_back(self, model: str, job_id: str, execution: str, reason: InferqError) -> None:
        self._return([(job_id, execution)], reason)

    def _return(self, executions: Sequence[tuple[str, str]], reason: InferqError | None = None) -> int:
        count = 0
        for pair in reversed(executions):
            job = self._owned(*pair)
            if job is None:
                continue
            if job.cancel:
                self._fail(job, State.CANCELLED, CANCELLED)
                continue
            if reason:
                job.returned += 1
                if job.returned > tickets.MOST_RETURNS:
                    self._fail(job, State.FAILED, Failed(reason.code, reason.message))
                    continue
            job.tries -= 1
            self._requeue(job)
            count += 1
        return count

    def restart(self, model: str, job_id: str, execution: str) -> bool:
        job = self._owned(job_id, execution)
        if job is None:
            return True
        if job.parts:
            return False
        if job.cancel:
            self._fail(job, State.CANCELLED, CANCELLED)
            return True
        job.record.clear()
        job.begun = True
        self._emit(job, Entry(job.seq + 1, job.seq + 1, "0", encode([StartOver()])))
        job.tokens = 0
        self._requeue(job)
        return True

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
        _take(orphans, job_id)
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
                self._requeue(job)
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

    def _count_permits(self, model: str) -> None:
        """As many as jobs wait; those that lie between the queue and a claim for too long are dropped."""
        limbo, queue, schedule = self.limbo[model], self.queues[model], self.schedules[model]
        for permit in list(self.between[model]):
            if self.now - limbo.setdefault(permit, self.now) >= tickets.STUCK_MS:
                _take(self.between[model], permit)
                limbo.pop(permit)
        self.limbo[model] = {id: since for id, since in limbo.items() if since > self.now - 10 * tickets.STUCK_MS}
        permits = len(queue)
        waiting = sorted(schedule.waiting.values(), key=lambda job: (job.deadline, job.id))
        queue += [job.id for job in waiting[: max(0, len(waiting) - permits)]]
        del queue[len(waiting) :]
        better = schedule.better()
        if permits and better and self.now - better[0].created >= 500:
            self._preempt(model, 0)

    def move(self, model: str) -> str | None:
        if not self.queues[model]:
            return None
        entry = self.queues[model].pop(0)
        self.between[model].append(entry)
        return entry

    def _owned(self, job_id: str, execution: str) -> Job | None:
        job = self.jobs.get(job_id)
        return job if job and job.running and job.exec == execution else None

    def _requeue(self, job: Job) -> None:
        """A running job waits again, where it waited before."""
        self._stop(job)
        job.spent += max(1, self.now - (job.started or 0))
        job.preempted += job.preempt
        job.preempt = False
        job.deadline = self.now + job.patience
        job.state, job.exec = State.QUEUED, ""
        self.schedules[job.model].enlist(job)
        self.queues[job.model].insert(0, job.id)

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

    def _finish(self, job: Job, state: State, last: Event) -> None:
        self._stop(job)
        counts = self.counts[job.model]
        failed = isinstance(last, Failed) and state is State.FAILED
        counts[f"jobs:{last.code if failed and isinstance(last, Failed) else state}"] += 1
        if job.started is not None:
            waited = max(0, job.started - job.created)
            counts[f"wait:{next((k for k in range(21) if 2**k >= waited), 21)}"] += 1
            counts["wait_ms"] += waited
        if isinstance(last, Done):
            counts["prompt_tokens"] += last.usage.prompt_tokens
            counts["completion_tokens"] += last.usage.completion_tokens
        if failed and isinstance(last, Failed):
            self.failures.append((job.id, job.model, job.worker, last.code, last.message))
            del self.failures[:-100]
        if job.running and job.started is not None:
            held = max(1, self.now - job.started) + job.spent
            for of in ("", f":{job.tier}"):
                n, mean = min(20, counts[f"held{of}"] + 1), counts[f"held_us{of}"]
                counts[f"held_us{of}"], counts[f"held{of}"] = int(mean + (held * 1000 - mean) / n + 0.5), n
            counts[f"busy_ms:{job.tier}"] += held
        job.state, job.ended, job.lingers = state, self.now, None


def _answer(job: Job) -> Answer:
    if job.cancel:
        return Answer.CANCELLED
    return Answer.PREEMPTED if job.preempt else Answer.OK


def _take(entries: list[str], entry: str) -> bool:
    """Remove the first one, if there is one."""
    if entry not in entries:
        return False
    entries.remove(entry)
    return True


def _due(timed: Iterable[tuple[int, Job]], now: int) -> list[Job]:
    """Those whose time has come, the earliest first."""
    return [job for time, job in sorted(timed, key=lambda each: (each[0], each[1].id)) if time <= now]
