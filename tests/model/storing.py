"""The model: what is to be stored, and the gateways that store it."""

from __future__ import annotations

from shared.unarchived import Due
from tests.model.course import AT_ONCE
from tests.model.requests import Requests


class Storing(Requests):
    """It waits in Redis until it is stored, or not to be any more."""

    def due(self, most: int, patience: float, cursor: int = 0) -> Due:
        listed = sorted((job.unarchived, job.id) for job in self.jobs.values() if job.unarchived is not None)
        span, ended = int(patience * 1000), list[str]()
        late = [job_id for due, job_id in listed if 0 < due <= self.now][:most]
        for job_id in late:
            self.jobs[job_id].unarchived = self.now + span
        ended += late
        beyond = sorted((job.unarchived or 0, job.id) for job in self.jobs.values())
        early = [job_id for due, job_id in beyond if due > self.now + max(span, AT_ONCE)][
            :most
        ]  # the clock was put back
        for job_id in early:
            self.jobs[job_id].unarchived = self.now + span
        return Due(ended + early, [job_id for due, job_id in listed if not due], 0)

    def of_conversation(self, conversation: str) -> list[str]:
        """Those that it gets, the first that ended first."""
        waiting = [job for job in self.jobs.values() if job.unarchived and not job.removed]
        theirs = [job for job in waiting if job.conversation == conversation]
        return [job.id for job in sorted(theirs, key=lambda job: (job.ended or 0, job.id))]

    def release_stored(self, job_id: str, *, dropped: bool, indexed: bool) -> bool:
        """It is stored, or is not to be."""
        job = self.jobs.get(job_id)
        if job is None:
            return False
        if job.removed and not dropped:
            return True
        if job.unarchived is None or indexed:
            return False
        job.given = None
        if job.final:
            self._retire(job)
        else:
            job.unarchived = None
            self._desert(job)
        return False

    def remove(self, job_id: str) -> bool:
        """It is not to be stored."""
        job = self.jobs.get(job_id)
        if job is None:
            return False
        if job.unarchived is None:
            job.removed |= job.final  # another gateway may be about to store it once more
            return False
        job.removed, job.deserted, job.given = True, False, None
        self._cancel(job)
        return True
