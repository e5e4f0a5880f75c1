"""Answers that are stored, or will be: found by their ids wherever they are, in Redis or in the archive.

What is found is what the job has told: every view of a stored answer is made of that, as its first one was.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from redis import Redis

from gateway.archive.archive import Archive
from gateway.archive.thing import Thing, ThingKind
from gateway.packing import unpack
from gateway.schemas import format_of
from shared import streams
from shared.errors import JobNotFound, NotStored, WorkerLost
from shared.protocol import Accepted, Event, Failed, State, final_state
from shared.store import translated
from shared.tickets import Tickets
from shared.unarchived import Unarchived

KINDS = MappingProxyType({"openai.chat": ThingKind.CHAT, "openai.responses": ThingKind.RESPONSE})
"""What the answers of a format are, once they are stored."""


@dataclass(frozen=True, slots=True)
class Recording:
    """An answer, as its job has told it so far."""

    id: str
    accepted: Accepted
    """The head of what was accepted; what was given to the model is in `given`."""
    state: State
    given: tuple[Any, ...]
    """See `Kept.given`."""
    events: list[Event]
    """From the first on; the last one is `Done` or `Failed` where the state is final."""
    facts: dict[str, Any]
    """What lists tell of it. Those of an answer in the archive win over what was asked, for some can be changed."""


class Recordings:
    """All answers that are stored, or are to be once they have ended."""

    def __init__(self, client: Redis, archive: Archive) -> None:
        self._client = client
        self._archive = archive
        self._tickets = Tickets(client)
        self._unarchived = Unarchived(client)

    def find(self, kind: ThingKind, thing_id: str, owner: str) -> Recording:
        """An answer as it is now, also while its job waits or runs. Once it is stored, that one is told.

        Raises NotStored, also for what is another owner's; StoreUnavailable, ArchiveUnavailable.
        """
        try:
            return self._stored(kind, thing_id, owner)
        except NotStored:
            pass
        try:
            return self._waiting(kind, thing_id, owner)
        except JobNotFound:  # or it was stored in between
            return self._stored(kind, thing_id, owner)

    def remove(self, kind: ThingKind, thing_id: str, owner: str) -> None:
        """Have an answer stored no longer, nor found; if its job waits or runs it is cancelled.

        Raises NotStored, StoreUnavailable, ArchiveUnavailable.
        """
        removed = False
        try:
            with translated():
                self._unarchived.given(thing_id)
                self._check(kind, thing_id, owner)
                removed = self._unarchived.remove(thing_id)
        except JobNotFound:
            pass
        try:
            self._archive.remove(owner, kind, thing_id)
        except NotStored:
            if not removed:
                raise

    def load(self, thing: Thing) -> Recording:
        """An answer in the archive. Raises NotStored where it went meanwhile, ArchiveUnavailable."""
        accepted, state, given, events = unpack(self._archive.read(thing))
        return Recording(thing.id, accepted, state, given, events, dict(thing.facts))

    def _stored(self, kind: ThingKind, thing_id: str, owner: str) -> Recording:
        return self.load(self._archive.find(owner, kind, thing_id))

    def _waiting(self, kind: ThingKind, job_id: str, owner: str) -> Recording:
        """One in Redis. Raises JobNotFound, also where nothing is stored of such a job; StoreUnavailable."""
        with translated():
            given = self._unarchived.given(job_id)
            state, accepted = self._check(kind, job_id, owner)
            events = list[Event]()
            for entry in streams.entries(self._client, job_id, pause=lambda: time.sleep(0)):
                events += filter(None, entry.events)
        state = settle(state, events)
        if not is_stored(kind, state):
            raise JobNotFound(job_id)
        facts = format_of(accepted).facts(job_id, accepted, state, events)
        return Recording(job_id, accepted, state, given, events, facts)

    def _check(self, kind: ThingKind, job_id: str, owner: str) -> tuple[State, Accepted]:
        """Raises JobNotFound for a job that is not the owner's, or of another kind."""
        ticket = self._tickets.get(job_id)
        accepted = streams.accepted(self._client, job_id)
        if ticket.owner != owner or KINDS.get(accepted.format) is not kind:
            raise JobNotFound(job_id)
        return ticket.state, accepted


def settle(state: State, events: list[Event]) -> State:
    """The state that belongs to these events, with which the ticket's is not of one moment. A lost end is told here."""
    if state.final and not (events and final_state(events[-1])):
        events.append(Failed(WorkerLost.code, "The end of the answer is not there any more."))
    return (final_state(events[-1]) if events else None) or state


def is_stored(kind: ThingKind, state: State) -> bool:
    """Whether an answer is there to be found in such a state of its job. Of chats, as OpenAI has it, only whole ones
    are, and those that run."""
    return kind is not ThingKind.CHAT or state not in (State.FAILED, State.CANCELLED)
