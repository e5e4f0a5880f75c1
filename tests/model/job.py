"""One job, as the model has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from shared.protocol import Event, State
from shared.ticket import Tier

DAY = 86_400_000
"""In milliseconds, like all times here."""


@dataclass
class Entry:
    """Events that were written at one time."""

    first: int
    last: int
    by: str
    blob: bytes


class Addition(NamedTuple):
    """Events that an execution sends; without one it is nothing that can be understood."""

    job_id: str
    execution: str
    first: int
    events: tuple[Event, ...]
    state: State | None


@dataclass
class Job:
    """What is known of it. Where it is listed follows from this alone, and is never kept beside it."""

    id: str
    model: str
    owner: str
    accepted: bytes
    head: bytes
    """All but what is to be computed."""
    created: int
    wait: int
    keep: int
    deadline: int
    tier: Tier = Tier.DEFAULT
    size: int = 0
    """Bytes that it holds until it ends, or is stored."""
    orphaned: tuple[str, int] | None = None
    """The attempt whose next one may be given it."""
    begun: bool = False
    """Its stream is there."""
    record: list[Entry] = field(default_factory=list)
    """After `Accepted`."""
    state: State = State.QUEUED
    seq: int = 0
    by: str = ""
    tokens: int = 0
    tries: int = 0
    returned: int = 0
    cancel: bool = False
    exec: str = ""
    worker: str = ""
    started: int | None = None
    first: int | None = None
    """When the first token came."""
    ended: int | None = None
    lease: int = 0
    """Until when its execution is believed to run."""
    lingers: int | None = None
    """Until when it waits for its client to come again."""
    replies: list[str] = field(default_factory=list)
    waiting: list[tuple[str, str]] = field(default_factory=list)
    """(visitor, reply stream) of each client that waits."""
    kept: bool = False
    parts: bool = False
    joined: bool = False
    given: str | None = None
    """What is to be stored with its answer, in JSON; None where that is not."""
    unarchived: int | None = None
    """From when on a gateway is to store it, 0 before its end; None where it is not to be stored, or is."""
    removed: bool = False
    conversation: str = ""
    """It is not to be stored after all."""
    deserted: bool = False
    """It was cancelled because nobody waited any more."""
    key: str = ""
    place: str = ""
    """Among those that wait, now or the last time."""
    charge: int = 0
    """What its owner has paid for its execution."""
    offered: bool = False
    """It runs, and may be asked back for a better one."""
    preempt: bool = False
    """It was."""
    preempted: int = 0
    """How often it went back because of that."""
    spent: int = 0
    """How long earlier executions of it held slots."""
    trail: str = ""
    """Marks of its prompt's beginnings, the longest first."""
    left: int | None = None
    """When it was left for the worker that has read the most of it."""
    overtaken: int = 0
    """Jobs that were begun before it out of their turn."""
    back: int | None = None
    """When it was put back, the last time."""
    lost: tuple[str, int] | None = None
    """The execution before, and when that began, where its worker had died."""

    @property
    def queued(self) -> bool:
        return self.state is State.QUEUED

    @property
    def running(self) -> bool:
        return self.state is State.IN_PROGRESS

    @property
    def final(self) -> bool:
        return self.state.final

    @property
    def ends(self) -> bool:
        """It has a time to live."""
        return self.final and self.unarchived is None

    @property
    def abandoned(self) -> bool:
        """Nobody wants it any more."""
        return not self.waiting and not self.kept

    @property
    def joinable(self) -> bool:
        """A client that comes again may be given it."""
        return self.state not in (State.FAILED, State.CANCELLED) and not self.cancel

    @property
    def patience(self) -> int:
        """How long it may wait in the queue: once it has run, a day at least."""
        return self.wait if self.started is None else max(self.wait, DAY)

    def admit(self, visitor: str, reply: str, *, waits: bool, parts: bool) -> bool:
        """A client is given it: to wait for it, or to have it kept. Whether it has one now."""
        self.parts = self.parts or parts
        if reply and reply not in self.replies:
            self.replies.append(reply)
        if waits and visitor:
            self.dismiss(visitor, reply)
            self.waiting.append((visitor, reply))
            self.lingers = None
        if not waits:
            self.kept = True
            self.lingers = None
        return (waits and bool(visitor)) or not waits

    def dismiss(self, visitor: str, reply: str) -> None:
        self.waiting = [other for other in self.waiting if other != (visitor, reply)]
