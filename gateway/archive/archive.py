"""The archive: blob first, then its place in the index; and the other way where something goes.

So what the index names is there, and what is left of a death in between is a blob that nothing names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.archive.blobs import Blobs
from gateway.archive.folder_blobs import FolderBlobs
from gateway.archive.index import Index
from gateway.archive.sqlite_index import SqliteIndex
from gateway.archive.thing import Page, Thing, ThingKind
from shared import folders
from shared.config import Config
from shared.errors import ArchiveFull, NotStored

DAY = 86_400


class Archive:
    """What is stored, for all gateway processes. Raises ArchiveUnavailable, ArchiveFull."""

    def __init__(self, index: Index, blobs: Blobs, config: Config) -> None:
        self.index = index
        self.blobs = blobs
        self._config = config

    @classmethod
    def open(cls, config: Config) -> Archive:
        """That of a configuration; nothing is made before something is stored."""
        folder = Path(config.archive) if config.archive else folders.data() / "archive"
        return cls(SqliteIndex(folder / "index.db", time.time), FolderBlobs(folder / "blobs"), config)

    def usual_expiry(self, created: int) -> int:
        """When an answer or a conversation of that time is to go."""
        return created + self._config.archive_days * DAY if self._config.archive_days else 0

    def keep(
        self, thing: Thing, content: Iterable[bytes] | None = None, *, finish: Callable[[Thing], Thing] | None = None
    ) -> Thing | None:
        """Store a thing with what is in it. None where its id was there before: nothing is changed.

        `finish` gives it what is known only once `content` has been taken to its end.
        """
        if content is not None:
            name = blob_name(thing)
            thing = replace(thing, blob=name, size=self.blobs.write(name, self._within(thing.owner, content)))
        if finish is not None:
            thing = finish(thing)
        return thing if self.index.add([thing]) else None

    def check_room(self, owner: str, size: int = 0) -> None:
        """Raises ArchiveFull where so many bytes more of an owner would be refused."""
        config = self._config
        most = config.archive_key_bytes or config.archive_bytes // 4
        mine = self.index.held(owner)
        if mine.things >= config.archive_key_things or size > min(
            most - mine.size, config.archive_bytes - self.index.held(None).size
        ):
            raise ArchiveFull("What is stored has reached its bound. Please delete something.")

    def _within(self, owner: str, content: Iterable[bytes]) -> Iterator[bytes]:
        size = 0
        for piece in content:
            size += len(piece)
            self.check_room(owner, size)
            yield piece

    def find(self, owner: str, kind: ThingKind, thing_id: str) -> Thing:
        """Raises NotStored."""
        return self.index.get(owner, kind, thing_id)

    def read(self, thing: Thing, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """What is in it, in pieces. Raises NotStored where it went meanwhile."""
        return self.blobs.read(thing.blob, start, end)

    def change(
        self, owner: str, kind: ThingKind, thing_id: str, how: Callable[[dict[str, Any]], Mapping[str, Any]]
    ) -> Thing:
        """Give it the facts that `how` makes of those it has. Raises NotStored, and what `how` raises."""
        while True:
            old = self.index.get(owner, kind, thing_id)
            if new := self.index.change(old, how(dict(old.facts)), old.expires):
                return new

    def page(self, owner: str, kind: ThingKind, *, limit: int, **how: Any) -> Page:
        """See `Index.page`."""
        return self.index.page(owner, kind, limit=limit, **how)

    def remove(self, owner: str, kind: ThingKind, thing_id: str) -> None:
        """It and its parts. Raises NotStored."""
        for gone in self.index.remove(owner, kind, thing_id):
            if gone.blob:
                self.blobs.remove(gone.blob)

    def holds(self, owner: str, kind: ThingKind, thing_id: str) -> bool:
        """Whether it is there."""
        try:
            self.index.get(owner, kind, thing_id)
        except NotStored:
            return False
        return True


def blob_name(thing: Thing) -> str:
    """Of what is in a thing: by its id, so that who stores it twice writes the same."""
    return f"{thing.kind}/{thing.id[-2:]}/{thing.id}"
