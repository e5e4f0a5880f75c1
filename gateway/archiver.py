"""The archiver: one loop a process that stores the answers which are to be, once they have ended.

What this process has told the end of is stored at once. What others have, who may be dead, it finds in Redis: all that
is to be stored waits there until it is, see shared/unarchived.py. To store one twice harms nothing, for the first one
stays; so nothing has to be remembered here, and none is lost by a death at any point.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain

from gevent import wait
from gevent.event import Event
from gevent.pool import Pool
from gevent.queue import Empty, Full, Queue

from gateway.archive.archive import Archive
from gateway.archive.thing import Thing, ThingKind
from gateway.conversation_items import Part, additions, write_all
from gateway.in_order import InOrder
from gateway.packing import condensed, pack
from gateway.recordings import KINDS, Recording, Recordings, is_stored
from gateway.schemas import format_of
from shared import streams
from shared.errors import ArchiveFull, ArchiveUnavailable, InferqError, JobNotFound, NotStored, NotUnderstood
from shared.loops import Loops
from shared.protocol import Accepted, State
from shared.protocol import Event as ProtocolEvent
from shared.store import Outage, translated
from shared.tickets import Tickets
from shared.unarchived import Unarchived

log = logging.getLogger(__name__)

MOST_NOTED = 1000
"""Ends that a process has told and not stored yet. Further ones are found in Redis, a second later."""
_PERIOD = 1.0
"""Seconds between two looks at what others have left."""
_TOGETHER, _SIDE_BY_SIDE = 20, 8
"""Answers that are dealt with in one step, and those of them that are stored at one time; large ones never are."""
_PATIENCE = 10.0
"""Seconds after which what a process took on, and has not stored, is another one's."""
_AT_ONCE, _FOR_ALL = 2.0, 10.0
"""Seconds for which somebody waits for an answer to be stored, who goes on without; and who asks which there are."""
_PAUSE = 2.0
"""Seconds before the next attempt where the archive cannot be written."""


class Archiver:
    """Of one process."""

    def __init__(
        self, tickets: Tickets, recordings: Recordings, archive: Archive, count: Callable[[str], None]
    ) -> None:
        """`count` is called with what became of an answer: `stored`, `refused` or `failed`."""
        self._tickets = tickets
        self._recordings = recordings
        self._archive = archive
        self._count = count
        self._unarchived = Unarchived(tickets.client)
        self._noted: Queue = Queue(MOST_NOTED)
        """Ids of answers, each with what is set once it was dealt with."""
        self._due = deque[str]()
        self._cursor = 0
        self._looked = 0.0
        self._trouble = ""

    def start(self, loops: Loops) -> None:
        loops.start("archiver", self._step)

    def note(self, job_id: str) -> Event:
        """An answer that is to be stored has ended. What is returned is set once it is, or cannot be now."""
        done = Event()
        try:
            self._noted.put_nowait((job_id, done))
        except Full:
            done.set()
        return done

    def settle(self, *job_ids: str, all_known: bool = False) -> None:
        """Have them stored before their ends are told, or before `all_known` are. Nobody waits long for that."""
        if not self._trouble:
            wait([self.note(job_id) for job_id in job_ids], timeout=_FOR_ALL if all_known else _AT_ONCE)

    def catch_up(self, conversation_id: str) -> None:
        """Store what a conversation is to get of answers that have ended: who asks for it may know that they have.

        Raises StoreUnavailable, ArchiveUnavailable, NotUnderstood.
        """
        with translated():
            self.store(*self._unarchived.of_conversation(conversation_id))

    def store(self, *job_ids: str) -> None:
        """Some that have ended, ahead of all that wait. Raises StoreUnavailable, ArchiveUnavailable, NotUnderstood."""
        with translated():
            for job_id in job_ids:
                self._store(job_id)

    def told(self, job_id: str, accepted: Accepted) -> Sequence[ProtocolEvent]:
        """The events of an answer that Redis has lost and the archive has; none where it has not.

        Raises ArchiveUnavailable, ArchiveDamaged.
        """
        kind = KINDS.get(accepted.format)
        try:
            return self._recordings.stored(kind, job_id, accepted.owner).events if kind else ()
        except NotStored:
            return ()

    def _step(self) -> None:
        """Deal with the next answers side by side: they wait for the disk at the same time, and share a commit."""
        noted = self._next()
        if not noted:
            return
        try:
            single = self._unarchived.single(list(noted)) if len(noted) > 1 else set(noted)
            lines = [[each for each in noted if each in single], *([each] for each in noted if each not in single)]
            for fault in filter(None, Pool(_SIDE_BY_SIDE).map(partial(self._store_all, InOrder(noted)), lines)):
                raise fault
            if self._trouble:
                log.info("answers can be stored again")
            self._trouble = ""
        except ArchiveUnavailable as exc:  # no fault of this process: all else is served
            self._give_up(exc)
        finally:
            for each in chain.from_iterable(noted.values()):
                each.set()

    def _store_all(self, order: InOrder, job_ids: Sequence[str]) -> Exception | None:
        """One after another. What keeps others from being stored as well is returned."""
        for job_id in job_ids:
            try:
                self._store(job_id, partial(order.take_turn, job_id))
            except (ArchiveUnavailable, *Outage) as exc:
                return exc
            except Exception as exc:  # it concerns this answer alone, which stays in Redis
                self._count("failed")
                log.error("%s is not stored: %s", job_id, exc, exc_info=not isinstance(exc, InferqError))
            finally:
                order.leave(job_id)
        return None

    def _next(self) -> dict[str, list[Event]]:
        """Answers, each with what is set once it was dealt with."""
        wait, found = self._looked + _PERIOD - time.monotonic(), dict[str, list[Event]]()
        try:
            job_id, done = self._noted.get(block=wait > 0 and not self._due, timeout=max(wait, 0.0))
            found[job_id] = [done]
            while len(found) < _TOGETHER:
                job_id, done = self._noted.get_nowait()
                found.setdefault(job_id, []).append(done)
        except Empty:
            if not found and not self._due and wait <= 0:
                self._look()
        while self._due and len(found) < _TOGETHER:
            found.setdefault(self._due.popleft(), [])
        return found

    def _look(self) -> None:
        """Take on answers that wait in Redis."""
        due = self._unarchived.due(_TOGETHER, _PATIENCE, self._cursor)
        # What has piled up while nothing could be stored needs no pause.
        self._looked = time.monotonic() if len(due.ended) < _TOGETHER else 0.0
        self._cursor = due.cursor
        self._due.extend(due.ended)
        for job_id in due.others:  # one that is stored has ended, whatever Redis knows of it
            with suppress(JobNotFound, NotUnderstood, ArchiveUnavailable):
                accepted = streams.accepted(self._tickets.client, job_id)
                kind = KINDS.get(accepted.format)
                if kind and self._archive.holds(accepted.owner, kind, job_id):
                    log.warning("redis has lost the end of %s", job_id)
                    self._release(job_id, stored=True)

    def _store(self, job_id: str, take_turn: Callable[[], object] = lambda: None) -> None:
        """`take_turn` is called before it gets its place: lists are in the order of the ends, whose blob is first."""
        try:
            found, events = self._recordings.read(job_id)
        except JobNotFound:  # it was removed, or stored by another process, or its record is lost
            self._release(job_id)
            return
        if not found.state.final:
            return
        kind = KINDS.get(found.accepted.format)
        if kind is None:
            raise NotUnderstood(f"nothing is known of stored answers in the format {found.accepted.format!r}")
        self._release(job_id, stored=is_stored(kind, found.state) and self._add(kind, found, events, take_turn))

    def _add(self, kind: ThingKind, found: Recording, events: Sequence[bytes], take_turn: Callable[[], object]) -> bool:
        """Whether it is in the archive now."""
        accepted, archive = found.accepted, self._archive
        expires = archive.usual_expiry(accepted.created)
        thing = Thing(found.id, kind, accepted.owner, accepted.created, expires, found.facts)
        if kind is ThingKind.CHAT:
            events = condensed(found.events, events)

        def in_turn(thing: Thing) -> Thing:
            take_turn()
            return thing

        def add(parts: Sequence[Part]) -> None:
            also, content = write_all(archive, parts), pack(accepted, found.state, found.given, events)
            if archive.keep(thing, content, also=also, finish=in_turn):
                self._count("stored")

        try:
            try:
                add(_additions(found))
            except NotStored:  # the conversation was removed
                add([])
        except ArchiveFull as exc:
            self._count("refused")
            log.warning("%s is not stored: %s", found.id, exc)
            return False
        return True

    def _release(self, job_id: str, *, stored: bool = False) -> None:
        """It waits no longer. Where it was removed meanwhile, what is stored of it goes first."""
        if not self._unarchived.release(job_id, indexed=stored and self._archive.in_redis):
            return
        with suppress(JobNotFound, NotStored):
            accepted = streams.accepted(self._tickets.client, job_id)
            self._archive.remove(accepted.owner, KINDS[accepted.format], job_id)
        self._unarchived.release(job_id, dropped=True)

    def _give_up(self, exc: ArchiveUnavailable) -> None:
        """Go on in a while: what was taken on is due again by then."""
        self._count("failed")
        if not self._trouble:
            log.error("answers wait in Redis, for they cannot be stored: %s", exc)
        self._trouble = exc.message
        self._due.clear()
        with suppress(Empty):
            while True:
                self._noted.get_nowait()[1].set()
        time.sleep(_PAUSE)


def _additions(found: Recording) -> list[Part]:
    """What an answer adds to its conversation."""
    kept = found.accepted.options.kept
    if not (kept and kept.conversation and found.state is State.COMPLETED):
        return []
    answer = format_of(found.accepted).render(found.id, found.accepted, found.events)
    return additions(found.accepted, found.given, answer)
