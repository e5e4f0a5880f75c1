"""The archive: blob first, then its place in the index; and the other way where something goes.

So what the index names is there, and what is left of a death in between is a blob that nothing names.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from msgspec.structs import replace

from gateway.archive.blobs import Blobs, new_name
from gateway.archive.index import Index, NoRoom
from gateway.archive.places import open_blobs, open_index
from gateway.archive.redis_index import RedisIndex
from gateway.archive.room import Allowance
from gateway.archive.seals import seal, unseal
from gateway.archive.thing import Page, Thing, ThingKind
from shared.config import Config
from shared.disturbance import Disturbance
from shared.errors import ArchiveDamaged, ArchiveUnavailable, NotStored

log = logging.getLogger(__name__)

Found = TypeVar("Found")
Told = TypeVar("Told")

DAY = 86_400
MOST_UNSURE = 10_000
"""Blobs that a process remembers of things that it tried to add, so that the next try leaves no second one."""


class Archive:
    """What is stored, for all gateway processes. Raises ArchiveUnavailable, ArchiveFull."""

    def __init__(self, index: Index, blobs: Blobs, config: Config) -> None:
        self.index = index
        self.in_redis = isinstance(index, RedisIndex)
        """Its index is where the jobs are, and loses what those do."""
        self.blobs = blobs
        self.on_removal: Callable[[str, int], None] = lambda reason, count: None
        """Called with why so many things went, whom nobody has asked to remove them: `expired`, `made_room`."""
        self.on_error: Callable[[str], None] = lambda work: None
        """Called with what could not be done: `write`, `read`, `remove`, `housekeeping`."""
        self._unsure: dict[str, str] = {}
        self._config = config
        self._room = Allowance(index, config)
        self._disturbance = Disturbance(log, "what is stored")

    @classmethod
    def open(cls, config: Config) -> Archive:
        """That of a configuration; nothing is made before something is stored. Raises ConfigError."""
        return cls(open_index(config), open_blobs(config), config)

    def usual_expiry(self, created: int) -> int:
        """When an answer or a conversation of that time is to go."""
        return created + self._config.archive_days * DAY if self._config.archive_days else 0

    def keep(
        self,
        thing: Thing,
        content: Iterable[bytes] | None = None,
        *,
        also: Sequence[Thing] = (),
        finish: Callable[[Thing], Thing] = lambda thing: thing,
    ) -> Thing | None:
        """Store a thing with what is in it. None where its id was there before: nothing is changed.

        `content` is taken as it comes; what it raises, or `finish`, leaves nothing behind. `finish` makes what is
        stored of the thing whose size is known. `also` are things of the same owner that are added in the same step,
        those of them that are not there yet. Where there is no room, the oldest answers make some. Raises NotStored
        where a parent is not there.
        """
        things = [thing, *also]
        try:
            if content is not None:
                things[0] = self.write(thing, content)
            things[0] = finish(things[0])
            added = self._add(things)
        except ArchiveUnavailable:
            self._remember(things)  # it may be there all the same
            raise
        except Exception:  # of whom the content comes, or of the index: it is certain that nothing names the blobs
            self.discard(things)
            raise
        if not added:
            named = self.index.blobs([each.id for each in things])
            self.discard(each for each in things if each.blob not in named)
            return None
        return things[0]

    def write(self, thing: Thing, content: Iterable[bytes]) -> Thing:
        """The thing with what is in it, for `keep`; what is not kept within an hour goes."""
        # Of a name of its own: who stores the same twice harms nothing. Who tries again takes the name that he had,
        # unless the index got it after all.
        name, size = self._unsure.pop(thing.id, ""), 0
        if not name or name in self.index.blobs([thing.id]):
            name = new_name(thing, self.index.identity())

        def count() -> Generator[bytes]:
            nonlocal size
            with closing(self._room.measure(thing.owner, content)) as pieces:
                for piece in pieces:
                    size += len(piece)
                    yield piece

        with self._watched("write"), closing(count()) as pieces:
            self.blobs.write(name, seal(name, pieces))
        return replace(thing, blob=name, size=size)

    def discard(self, things: Iterable[Thing]) -> None:
        """Remove what was written for things that are not kept. What cannot be removed now is found by the sweep."""
        for thing in things:
            if thing.blob:
                try:
                    self.blobs.remove(thing.blob)
                except ArchiveUnavailable as exc:
                    self.on_error("remove")
                    log.warning("a blob stays for the sweep: %s", exc)

    def find(self, owner: str, kind: ThingKind, thing_id: str) -> Thing:
        """Raises NotStored."""
        return self.index.get(owner, kind, thing_id)

    def read(self, thing: Thing, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """What is in it, in pieces. Raises NotStored where it went meanwhile, ArchiveDamaged for a false byte."""
        pieces = self._pieces(thing, start, end)
        return chain([next(pieces, b"")], pieces)  # the first one now, so that what is wrong is told before an answer

    def change(
        self, owner: str, kind: ThingKind, thing_id: str, how: Callable[[dict[str, Any]], Mapping[str, Any]]
    ) -> Thing:
        """Give it the facts that `how` makes of those it has. Raises NotStored, and what `how` raises."""
        while True:
            old = self.index.get(owner, kind, thing_id)
            if new := self.index.change(old, how(old.facts), old.expires):
                return new

    def page(self, owner: str, kind: ThingKind, *, limit: int, **how: Any) -> Page:
        """See `Index.page`. What is raised names the parameter `after` of whoever asks for a page."""
        try:
            return self.index.page(owner, kind, limit=limit, **how)
        except NotStored as exc:
            raise NotStored(how["after"], param="after") from exc

    def tell_each(self, found: Iterable[Found], tell: Callable[[Found], Told]) -> Iterator[Told]:
        """What `tell` makes of what a page has; without what is damaged, which hides no others."""
        for each in found:
            try:
                with self._watched("read"):
                    told = tell(each)
            except ArchiveDamaged:
                continue
            yield told

    def remove(self, owner: str, kind: ThingKind, thing_id: str) -> None:
        """It and its parts. Raises NotStored."""
        self.discard(self.index.remove(owner, kind, thing_id))

    def expire(self, now: int, most: int) -> int:
        """Remove what is to go by then, up to so many things; how many went, with their parts."""
        gone = self.index.expire(now, most)
        self.discard(gone)
        if gone:
            self.on_removal("expired", len(gone))
        return len(gone)

    def holds(self, owner: str, kind: ThingKind, thing_id: str) -> bool:
        """Whether it is there."""
        try:
            self.index.get(owner, kind, thing_id)
        except NotStored:
            return False
        return True

    def check_room(self, owner: str, size: int = 0) -> None:
        """Raises ArchiveFull where a thing of so many bytes would be refused, whatever makes room."""
        self._room.check(owner, size)

    def _pieces(self, thing: Thing, start: int, end: int | None) -> Iterator[bytes]:
        try:
            with self._watched("read"):
                yield from unseal(thing.blob, thing.size, partial(self.blobs.read, thing.blob), start, end)
        except NotStored:  # names the blob
            raise NotStored(thing.id) from None

    @contextmanager
    def _watched(self, work: str) -> Iterator[None]:
        try:
            yield
        except (ArchiveUnavailable, ArchiveDamaged) as exc:
            self.on_error(work)
            self._disturbance.fail(str(exc))
            raise
        else:
            self._disturbance.end()

    def _add(self, things: Sequence[Thing]) -> bool:
        while True:
            try:
                with self._watched("write"):
                    return self.index.add(things, self._room.bounds)
            except NoRoom as lack:
                gone = self._room.make(lack)
                self.discard(gone)
                self.on_removal("made_room", len(gone))

    def _remember(self, things: Iterable[Thing]) -> None:
        """The blobs of things of which nobody knows whether they are there."""
        self._unsure |= {thing.id: thing.blob for thing in things if thing.blob}
        while len(self._unsure) > MOST_UNSURE:
            del self._unsure[next(iter(self._unsure))]
