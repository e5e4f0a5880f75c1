"""The model: what workers do, and their executions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from shared import tickets
from shared.codec import encode
from shared.errors import InferqError
from shared.protocol import Delta, Failed, StartOver, State
from shared.ticket import Answer, Claim, LeftForOthers, Tier
from tests.model.course import CANCELLED, OVERDUE, drop
from tests.model.job import Addition, Entry, Job
from tests.model.placing import Placing
from tests.model.schedule import MOST_PREEMPTIONS


class Executions(Placing):
    """They begin, go on and end."""

    def move(self, model: str) -> str | None:
        if not self.queues[model]:
            return None
        entry = self.queues[model].pop(0)
        self.between[model].append(entry)
        return entry

    def claim(
        self, model: str, permit: str, execution: str, *, lease_ms: int, worker: str
    ) -> Claim | LeftForOthers | None:
        while drop(self.between[model], permit):
            pass
        self.limbo[model].pop(permit, None)
        if execution not in self.marks:
            placed = len(self.slots[model]) > 1
            pick = (lambda jobs: self._pick(jobs, worker, self._runnable)) if placed else None
            chosen = self.schedules[model].choose(self.now, self._runnable, pick)
            if isinstance(chosen, int):
                self.marks[execution] = f":{self.now + chosen}"
            else:
                self.marks[execution] = chosen[0].id if chosen else ""
            if isinstance(chosen, tuple):
                self._begin(*chosen, execution, lease_ms, worker)
                if placed:
                    self._note_reader(chosen[0], worker)
                    del self.queues[model][max(len(self.schedules[model].waiting), len(self.queues[model]) - 1) :]
        mark = self.marks[execution]
        if mark.startswith(":"):
            return LeftForOthers(max(1, int(mark[1:]) - self.now))
        job = self.jobs.get(mark)
        if job is None or job.exec != execution or job.final:
            return None
        assert job.started is not None
        since = job.created if job.back is None else job.back
        lost, began = job.lost or ("", since)
        times = (job.started - job.created, job.started - since)
        return Claim(job.id, job.seq, job.tries, job.accepted, *times, lost, since - began)

    def _runnable(self, job: Job) -> bool:
        if self.now < job.deadline:
            return True
        self._fail(job, State.FAILED, OVERDUE)
        return False

    def _begin(self, job: Job, overtakes: Sequence[Job], execution: str, lease_ms: int, worker: str) -> None:
        self.schedules[job.model].charge(job, overtakes, self.counts[job.model]["held_us"])
        job.state, job.exec, job.worker, job.started = State.IN_PROGRESS, execution, worker, self.now
        job.lease = self.now + lease_ms
        job.tries += 1
        job.offered = job.tier is Tier.FLEX and job.preempted < MOST_PREEMPTIONS

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
            job.size += len(entry.blob)
            self._record(job, entry)
            for reply in job.replies:
                news[reply].append((job_id, entry))
            tokens = sum(len(event.tokens) for event in events if isinstance(event, Delta))
            if tokens and not job.tokens:
                job.first = self.now
            job.tokens += tokens
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
                    self._fail(job, State.FAILED, Failed(reason.code, reason.public))
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

    def decline(self, model: str, job_id: str, execution: str) -> None:
        job = self._owned(job_id, execution)
        if job and job.preempt:
            job.preempt = False
            self._preempt(model, None)


def _answer(job: Job) -> Answer:
    if job.cancel:
        return Answer.CANCELLED
    return Answer.PREEMPTED if job.preempt else Answer.OK
