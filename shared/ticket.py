"""What is said of one job between those who have to do with it and its ticket. Pure values; see tickets.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar

from shared.protocol import State


class Answer(IntEnum):
    """What `append` and `renew` answer; see append.lua."""

    RESEND = -1
    FENCED = 0
    OK = 1
    CANCELLED = 2
    PREEMPTED = 3
    """To be handed back, for a better job waits for a slot."""


class Tier(StrEnum):
    """How urgent a job is: OpenAI's `service_tier`. The better first."""

    PRIORITY = "priority"
    DEFAULT = "default"
    FLEX = "flex"

    @classmethod
    def of(cls, name: str) -> Tier:
        """The one of this name; that which only another version knows is the default."""
        return next((tier for tier in cls if tier == name), cls.DEFAULT)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a job's owner may claim for it."""

    tier: Tier = Tier.DEFAULT
    weight: float = 1.0
    """Of the owner's share, more than 0."""
    most: int = 0
    """Jobs that the owner may have waiting and running at once; 0: any number."""
    most_bytes: int = 0
    """What those may hold of Redis's memory; 0: any number."""


ORDINARY = Standing()


@dataclass(frozen=True, slots=True)
class Attempt:
    """A client's attempt at a request, and how it is known when it comes again."""

    fingerprint: str
    """Of the request, with its owner: the same for every attempt."""
    number: int = 0
    """The client's own count of attempts, from 0."""
    idempotency: str = ""
    """A hash of its Idempotency-Key and its owner, if it sent one."""
    waits: bool = True
    """It keeps its connection open for the answer; once all such clients have left, the job is cancelled."""
    parts: bool = False
    """It reads the answer as it comes, so that nothing of it can be taken back."""


NOBODY = Attempt("", waits=False)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a gateway knows of a job that somebody waits for there."""

    job_id: str
    number: int
    """Of the last event that it has; 0 for none."""
    by: str
    """The execution that wrote that event."""
    visitor: str = ""
    """Whose client waits, by the id with which its request came; empty for somebody who only follows the job."""
    parts: bool = False
    """The answer is read as it comes."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that was given to an execution."""

    job_id: str
    seq: int
    """Events that earlier executions have emitted."""
    tries: int
    accepted: bytes
    """The encoded `Accepted`."""
    waited: int
    """Milliseconds since it was submitted."""
    queued: int = 0
    """The same since it was put back, the last time."""
    lost: str = ""
    """The execution before, if its worker died under it."""
    ran: int = 0
    """Milliseconds from that one's begin until it was taken for lost."""


@dataclass(frozen=True, slots=True)
class LeftForOthers:
    """What a claim is given where all that might be begun is left for workers that have read it before."""

    ms: int
    """For so long: then whoever claims is given it."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What Redis knows about a job. Times are Unix times in milliseconds."""

    id: str
    state: State
    model: str
    owner: str
    events: int
    """Number of the last event."""
    by: str
    """The execution that wrote it."""
    tokens: int
    """Of the answer so far."""
    deserted: bool
    """It was cancelled because nobody waited any more, as far as Redis knew."""
    created: int
    started: int | None
    ended: int | None

    FIELDS: ClassVar = ("state", "model", "owner", "seq", "by", "tokens", "deserted", "created", "started", "ended")
    """Those of its hash that `read` takes."""

    @classmethod
    def read(cls, job_id: str, values: Sequence[bytes | None]) -> Ticket | None:
        """The one that has these; None where there is none."""
        fields = {name: value.decode() for name, value in zip(cls.FIELDS, values, strict=True) if value is not None}
        if "state" not in fields:
            return None
        state = State(fields["state"])
        if "ended" in fields and not state.final:  # in a way that only another version knows
            state = State.FAILED
        return cls(
            id=job_id,
            state=state,
            model=fields["model"],
            owner=fields["owner"],
            events=int(fields["seq"]),
            by=fields.get("by", ""),
            tokens=int(fields.get("tokens", 0)),
            deserted="deserted" in fields,
            created=int(fields["created"]),
            started=int(fields["started"]) if "started" in fields else None,
            ended=int(fields["ended"]) if "ended" in fields else None,
        )
