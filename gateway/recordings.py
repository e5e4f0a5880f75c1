"""Answers that are stored, or will be: found by their ids wherever they are, in Redis or in the archive.

What is found is what the job has told: every view of a stored answer is made of that, as its first one was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from redis import Redis

from gateway.archive.archive import Archive
from gateway.archive.thing import Thing, ThingKind
from gateway.packing import unpack
from gateway.schemas import format_of
from gateway.slices import give_way
from shared import streams
from shared.codec import encode
from shared.errors import ArchiveUnavailable, JobNotFound, NotStored, WorkerLost
from shared.protocol import Accepted, Event, Failed, State, final_state
from shared.store import Outage, translated
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
        self.on_end: Callable[..., object] = lambda *job_ids, **how: None
        """Called with the ids of answers that have ended and are not stored yet, before that is told."""

    def find(self, kind: ThingKind, thing_id: str, owner: str) -> Recording:
        """An answer as it is now, also while its job waits or runs. Once it is stored, that one is told.

        Raises NotStored, also for what is another owner's; StoreUnavailable, ArchiveUnavailable, ArchiveDamaged.
        """
        try:
            return self._unless_removed(self.stored(kind, thing_id, owner))
        except NotStored:
            pass
        try:
            found = self._waiting(kind, thing_id, owner)
        except JobNotFound:  # or it was stored in between
            return self._unless_removed(self.stored(kind, thing_id, owner))
        if found.state.final:
            self.on_end(thing_id)
        return found

    def stored(self, kind: ThingKind, thing_id: str, owner: str) -> Recording:
        """One in the archive. Raises NotStored, ArchiveUnavailable, ArchiveDamaged."""
        return self.load(self._archive.find(owner, kind, thing_id))

    def settle(self, owner: str) -> None:
        """Have an owner's answers that have ended stored, before he is told which there are."""
        with suppress(*Outage):  # what is stored is told all the same
            if ended := self._unarchived.ended(owner):
                self.on_end(*ended, all_known=True)

    def load(self, thing: Thing) -> Recording:
        """One in the archive. Raises NotStored where it went meanwhile, ArchiveUnavailable, ArchiveDamaged."""
        accepted, state, given, events = unpack(self._archive.read(thing))
        return Recording(thing.id, accepted, state, given, events, thing.facts)

    def read(self, job_id: str) -> tuple[Recording, list[bytes]]:
        """One in Redis, and its events as they are there, some each; others have their turn meanwhile.

        Raises JobNotFound where the job is gone, or its answer is not to be stored, or is; NotUnderstood; Redis's own.
        """
        given = self._unarchived.given(job_id, give_way)
        for _ in range(2):  # Redis may come back without its last second, while its record is read
            state, accepted = self._tickets.get(job_id).state, streams.accepted(self._client, job_id)
            events, blobs = list[Event](), list[bytes]()
            for entry in streams.entries(self._client, job_id, pause=give_way):
                events += filter(None, entry.events)
                blobs.append(entry.blob)
            if not state.final or (events and final_state(events[-1])):
                break
        else:
            events.append(Failed(WorkerLost.code, "The end of the answer is not there any more."))
            blobs.append(encode(events[-1:]))
        state = (final_state(events[-1]) if events else None) or state  # which may be of a moment before
        facts = format_of(accepted).facts(job_id, accepted, state, events)
        return Recording(job_id, accepted, state, given, events, facts), blobs

    def remove(self, kind: ThingKind, thing_id: str, owner: str) -> None:
        """Have an answer stored no longer, nor found; if its job waits or runs it is cancelled.

        Raises NotStored, StoreUnavailable, ArchiveUnavailable.
        """
        removed, before = False, False
        with suppress(JobNotFound), translated():
            kept = self._check(kind, thing_id, owner).options.kept
            if kept and kept.conversation:
                self._add(thing_id, kept.conversation)
            before = self._unarchived.removed(thing_id)
            removed = self._unarchived.waits(thing_id)
            removed &= self._unarchived.remove(thing_id)
        try:
            self._archive.remove(owner, kind, thing_id)
        except NotStored:
            if not removed:
                raise
        if before:
            raise NotStored(thing_id)

    def _unless_removed(self, found: Recording) -> Recording:
        """Who was about to store one that is removed has yet to take it back. Raises NotStored."""
        with suppress(*Outage):
            if self._unarchived.removed(found.id):
                raise NotStored(found.id)
        return found

    def _waiting(self, kind: ThingKind, job_id: str, owner: str) -> Recording:
        """One in Redis. Raises JobNotFound, also where nothing is stored of such a job; StoreUnavailable."""
        with translated():
            self._check(kind, job_id, owner)
            found, _ = self.read(job_id)
        if not is_stored(kind, found.state):
            raise JobNotFound(job_id)
        return found

    def _add(self, job_id: str, conversation_id: str) -> None:
        """What a conversation is to get of an answer that has ended it gets, also where that is removed."""
        if job_id in self._unarchived.of_conversation(conversation_id):
            self.on_end(job_id)
            if job_id in self._unarchived.of_conversation(conversation_id):
                raise ArchiveUnavailable(f"{job_id} has ended, and cannot be stored yet")

    def _check(self, kind: ThingKind, job_id: str, owner: str) -> Accepted:
        """The head. Raises JobNotFound for a job that is not the owner's, or of another kind."""
        ticket, accepted = self._tickets.get(job_id), streams.accepted(self._client, job_id)
        if ticket.owner != owner or KINDS.get(accepted.format) is not kind:
            raise JobNotFound(job_id)
        return accepted


def is_stored(kind: ThingKind, state: State) -> bool:
    """Whether an answer is there to be found in such a state of its job. Of chats, as OpenAI has it, only whole ones
    are, and those that run."""
    return kind is not ThingKind.CHAT or state not in (State.FAILED, State.CANCELLED)
