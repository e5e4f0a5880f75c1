"""Tickets: the truth about every job, kept in Redis by the scripts of `shared.scripts`.

Each transition is one script on Redis's own time. An entry in RQ's list is a permit: it says that some job waits, and
the claim chooses which one. It may be lost, late or doubled without harm. redis-py sends a command again when its reply
was lost, so every script can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.msgpack import Encoder
from redis import Redis, ResponseError

from shared import rq_job, unarchived
from shared.addition import Addition
from shared.codec import encode, encode_given
from shared.errors import (
    ArchiveUnavailable,
    IdempotencyKeyReused,
    InferqError,
    JobNotFound,
    KeyFull,
    KeyMemoryFull,
    MemoryFull,
    QueueFull,
)
from shared.keys import Key
from shared.protocol import Accepted, State
from shared.registry import GATEWAY_TTL, MODEL_TTL, WORKER_TTL
from shared.scripts import script
from shared.ticket import NOBODY, ORDINARY, Answer, Attempt, Claim, LeftForOthers, Sighting, Standing, Ticket
from shared.trail import trail

STUCK_MS = 2000
"""How long an entry may lie between the queue and its claim."""
MOST_EXECUTIONS = 20
"""A job whose workers died under it this often is given up: it may be what kills them."""
MOST_RETURNS = 20
"""How often workers that cannot compute may hand a job back before it fails."""
MOST_EVICTED = 500
"""Records that one call of `evict` looks at; Redis does nothing else meanwhile."""
RETURN_SECONDS = 15.0
"""How long a job waits for its client to come again when the gateway of its client has died."""

Listed = tuple[Ticket, int | None]
"""A job, and its place in the queue where that is told."""
_PACKER = Encoder()


class Tickets:
    """The scripts, callable. Redis's own errors come through."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self._submit = script(client, "submit")
        self._claim = script(client, "claim")
        self._append = script(client, "append")
        self._renew = script(client, "renew")
        self._release = script(client, "release")
        self._restart = script(client, "restart")
        self._decline = script(client, "decline")
        self._cancel = script(client, "cancel")
        self._position = script(client, "position")
        self._sweep = script(client, "sweep")
        self._lapse = script(client, "lapse")
        self._attach = script(client, "attach")
        self._leave = script(client, "leave")
        self._evict = script(client, "evict")
        self._jobs = script(client, "jobs")

    def submit(
        self,
        job_id: str,
        accepted: Accepted,
        *,
        reply: str,
        max_queue: int,
        wait: float,
        keep: int,
        attempt: Attempt = NOBODY,
        visitor: str | None = None,
        again: bool = False,
        standing: Standing = ORDINARY,
        most_bytes: int | None = None,
        most_unarchived_bytes: int | None = None,
    ) -> str:
        """Accept a job. Returns its id, or that of the job which the client's `attempt` joins instead.

        `wait` is how long it may wait, `keep` how long it can be read once final, both in seconds; `visitor` is the id
        with which the client's request came, where that is not the job's. `again` puts back a job that was accepted
        before and that Redis has lost: it joins no other, and no queue is too full for it. `most_bytes` is what the
        jobs of all may hold; at 0 there are no new ones, None is any; `most_unarchived_bytes` what those may that wait
        to be stored, before no further one is accepted that would be.

        Raises QueueFull, KeyFull, KeyMemoryFull, MemoryFull, ArchiveUnavailable, IdempotencyKeyReused.
        """
        model = accepted.task.model
        visitor = job_id if visitor is None else visitor
        head: list[Any] = [model, job_id, accepted.owner, max_queue, int(wait * 1000), keep, reply, visitor]
        head += [int(attempt.waits), int(attempt.parts), attempt.fingerprint, attempt.number, attempt.idempotency]
        head += [int(again), encode([accepted.alone()]), encode([accepted.head()]), standing.tier]
        head += [f"{standing.weight:g}", standing.most, standing.most_bytes, -1 if most_bytes is None else most_bytes]
        kept = accepted.options.kept
        given, conversation = (encode_given(kept.given), kept.conversation) if kept else ("", "")
        head += [given, unarchived.MOST_UNARCHIVED, -1 if most_unarchived_bytes is None else most_unarchived_bytes]
        outcome, value = self._submit(
            keys=[], args=[*head, conversation, trail(accepted), *rq_job.fields(model, job_id)]
        )
        match outcome:
            case 0:
                raise QueueFull(f"{value} requests wait for the model {model!r} already. Please try again later.")
            case 2:
                return str(value.decode())
            case 3:
                raise IdempotencyKeyReused("This Idempotency-Key was used with another request.")
            case 4:
                raise KeyFull(f"This API key has {value} requests waiting or running already, as many as it may have.")
            case 5:
                raise KeyMemoryFull(
                    f"The requests of this API key that wait or run hold {value} bytes, and may hold"
                    f" {standing.most_bytes}: this one does not fit beside them. Please try again later."
                )
            case 6:
                raise MemoryFull("The queue's memory is full at the moment. Please try again later.")
            case 7:
                raise ArchiveUnavailable(f"{value} answers wait to be stored already")
        return job_id

    def evict(self, name: str, wanted: int, most: int = MOST_EVICTED) -> tuple[int, int]:
        """Have up to `most` records of ended jobs go until so many bytes are free, for `name`; how many, and bytes."""
        gone, freed = self._evict(keys=[], args=[name, wanted, most])
        return int(gone), int(freed)

    def claim(
        self, model: str, permit: str, execution: str, *, lease_ms: int, worker: str
    ) -> Claim | LeftForOthers | None:
        """Make `execution` the owner of the next job; None when none waits. `permit` is '' where none has come."""
        job_id, *found = self._claim(keys=[], args=[model, permit, execution, lease_ms, worker])
        if not job_id:
            return LeftForOthers(found[0]) if found[0] else None
        seq, tries, accepted, waited, queued, lost, ran = found
        return Claim(job_id.decode(), int(seq), int(tries), accepted, int(waited), int(queued), lost.decode(), int(ran))

    def waits(self, model: str) -> bool:
        """Whether there is a job to be claimed."""
        return bool(self.client.exists(f"{Key.WAITING}{model}"))

    def append(self, model: str, additions: Sequence[Addition]) -> list[tuple[Answer, int] | ResponseError]:
        """Add events to jobs; of each the answer and the number of the last event that is stored.

        Or an error, which concerns that job alone.
        """
        answers = self._append(keys=[], args=[model, _PACKER.encode(additions)])
        return [each if isinstance(each, ResponseError) else (Answer(each[0]), int(each[1])) for each in answers]

    def renew(self, model: str, lease_ms: int, executions: Sequence[tuple[str, str]]) -> list[Answer]:
        """Renew the leases of (job id, execution id) pairs."""
        answers = self._renew(keys=[], args=[model, lease_ms, *(x for pair in executions for x in pair)])
        return [Answer(a) for a in answers]

    def release(self, model: str, executions: Sequence[tuple[str, str]]) -> int:
        """Hand (job id, execution id) pairs back to wait where they waited before; how many were."""
        pairs = [x for pair in executions for x in pair]
        return int(self._release(keys=[], args=[model, 0, "", "", *pairs]))

    def hand_back(self, model: str, job_id: str, execution: str, reason: InferqError) -> None:
        """Return a job that this worker cannot compute, for a `reason` with which it fails when that is too often."""
        self._release(keys=[], args=[model, MOST_RETURNS, reason.code, reason.public, job_id, execution])

    def decline(self, model: str, job_id: str, execution: str) -> None:
        """The job was asked back for a better one, but cannot go on elsewhere."""
        self._decline(keys=[], args=[model, job_id, execution])

    def restart(self, model: str, job_id: str, execution: str) -> bool:
        """Have a job computed anew, as if nothing had been sent of its answer. False where somebody reads that."""
        return bool(self._restart(keys=[], args=[model, job_id, execution]))

    def cancel(self, job_id: str, *, unless_joined: bool = False) -> State:
        """Cancel a job; its state after that, IN_PROGRESS when its worker has yet to end it. Raises JobNotFound."""
        state = self._cancel(keys=[], args=[job_id, int(unless_joined)]).decode()
        if not state:
            raise JobNotFound(job_id)
        return State(state)

    def withdraw(self, job_id: str, among: Redis | None = None) -> None:
        """Cancel a job, should there be one, unless a client has joined it. `among` as for `leave`."""
        self._cancel(keys=[], args=[job_id, 1], client=among)

    def leave(
        self, job_id: str, visitor: str, reply: str, attempt: Attempt, linger: float, among: Redis | None = None
    ) -> None:
        """A client, whose request came with the id `visitor` to the gateway of `reply`, waits for the job no longer.

        The last one's leaving cancels it, after `linger` seconds, unless somebody was promised it. `among` is the
        pipeline of which it is to be a part.
        """
        known = (attempt.fingerprint, attempt.number)
        self._leave(keys=[], args=[job_id, visitor, reply, int(linger * 1000), *known], client=among)

    def attach(self, reply: str, sightings: Sequence[Sighting]) -> dict[int, bool]:
        """Have further events of jobs written to a reply stream, and compare what was seen of them with their tickets.

        Returns by index those that differ: True where there is such a job, False where there is none.
        """
        seen = [(s.job_id, s.number, s.by, s.visitor, int(s.parts)) for s in sightings]
        found = self._attach(keys=[], args=[reply, *(x for each in seen for x in each)])
        return {int(index) - 1: bool(there) for index, there in found}

    def sweep(self, model: str, lease_ms: int) -> int:
        """Recover what was lost and expire what is overdue; how many jobs went back to the queue."""
        return int(self._sweep(keys=[], args=[model, lease_ms, STUCK_MS, MOST_EXECUTIONS]))

    def lapse(self) -> None:
        """Forget gateways, workers and models that nobody has announced lately."""
        self._lapse(keys=[], args=[int(1000 * s) for s in (GATEWAY_TTL, WORKER_TTL, MODEL_TTL, RETURN_SECONDS)])

    def get(self, job_id: str) -> Ticket:
        """Raises JobNotFound."""
        found: Any = self.client.hmget(f"{Key.JOB}{job_id}", Ticket.FIELDS)  # the others may be many
        ticket = Ticket.read(job_id, found)
        if ticket is None:
            raise JobNotFound(job_id)
        return ticket

    def list(self, models: Iterable[str], owner: str, most: int, after: str = "") -> tuple[list[Listed], bool]:
        """Jobs that wait or run, an owner's or those of all: a page of up to `most`, and whether there are more.

        `models` are in their order; `after` is the last one of the page before. Raises JobNotFound where that is none.
        """
        more, *found = self._jobs(keys=[], args=[owner, most, after, *models])
        if more < 0:
            raise JobNotFound(after, param="after")
        ids = [job_id.decode() for job_id in found[::2]]
        with self.client.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hmget(f"{Key.JOB}{job_id}", Ticket.FIELDS)
            tickets = map(Ticket.read, ids, pipe.execute())
        return [(each, place or None) for each, place in zip(tickets, found[1::2], strict=True) if each], more > 0

    def position(self, job_id: str) -> int | None:
        """The job's place in the order in which jobs are served, from 1; None when it does not wait."""
        return int(self._position(keys=[], args=[job_id])) or None


def sweep_pause(lease_ms: int) -> float:
    """Seconds between two sweeps; see sweep.lua."""
    return min(1.0, lease_ms / 4000)
