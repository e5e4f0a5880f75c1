"""The model: which worker a job is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.model.course import Course
from tests.model.job import Job
from tests.model.schedule import Picked

MOST_OVERTAKEN, MOST_PERMITS, MOST_READ, MOST_READERS = 1, 2, 5, 2
"""Here: so few that they are reached."""
LEFT_FOR = 50
"""Milliseconds that a job is left for the worker that has read the most of it."""


class Placing(Course):
    """Prompts are read, and those that begin alike go to who has read them."""

    def _pick(self, jobs: Sequence[Job], worker: str, runnable: Callable[[Job], bool]) -> Picked:
        """Which of the first jobs a worker is given."""
        passed: list[Job] = []
        best: tuple[Job, Sequence[Job]] | None = None
        pauses: list[int] = []
        for job in jobs:
            if not runnable(job):
                continue
            reader = self._reader(job, worker)
            if reader == worker:
                return job, passed
            if best is None:
                rest = self._leave_for(job, reader) if reader else 0
                if rest:
                    pauses.append(rest)
                else:
                    best = job, tuple(passed)
            if job.overtaken >= MOST_OVERTAKEN:
                break
            passed.append(job)
        return best or min(pauses, default=None)

    def _reader(self, job: Job, worker: str) -> str:
        """Of those who are ready the one that has read the most of its prompt: the worker itself, if it is one."""
        for mark in job.trail.split():
            readers = self._readers(job.model, mark)
            known = [name for name in readers if name == worker or name in self.slots[job.model]]
            if known:
                return worker if worker in known else known[0]
        return ""

    def _readers(self, model: str, mark: str) -> list[str]:
        return self.readers[model].get(mark) or self.read_before[model].get(mark, [])

    def _leave_for(self, job: Job, reader: str) -> int:
        """For how long it is left for him yet."""
        if job.left is not None:
            rest = job.left + LEFT_FOR - self.now
            return rest if 0 < rest <= LEFT_FOR else 0
        job.left = self.now
        self.permits[reader] = [*self.permits[reader], job.id][-MOST_PERMITS:]
        return LEFT_FOR

    def _note_reader(self, job: Job, worker: str) -> None:
        """It is about to read the prompt."""
        model, counts = job.model, self.counts[job.model]
        reader = self._reader(job, worker)
        counts[f"placed:{'reader' if reader == worker else 'other' if reader else 'any'}"] += 1
        if job.left is not None and job.left >= (job.back or 0):
            self._count_wait(model, "left", max(0, self.now - job.left))
        marks = {mark: self._readers(model, mark) for mark in job.trail.split()}
        for mark, readers in marks.items():
            others = [name for name in readers if name != worker]
            self.readers[model][mark] = [worker, *others][:MOST_READERS]
        if marks and len(self.readers[model]) >= MOST_READ:
            self.read_before[model] = self.readers.pop(model)
