"""One Redis, one index, one place of blobs: gateways that share the first have to share the others.

Where they do not, each would store answers that the others do not find.
"""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import islice
from typing import Any

from redis import Redis

from gateway.archive.archive import Archive
from shared import registry
from shared.config import ConfigError
from shared.errors import ArchiveDamaged, ArchiveUnavailable, NotStored
from shared.keys import Key
from shared.loops import Loops
from shared.store import Outage

MARK = "index/00/identity"
"""The blob that says whose blobs those around it are."""
PERIOD = 10.0
"""Seconds between two looks."""
LASTS = 60
"""Seconds for which the gateways of a Redis are believed to use the index that one of them has named."""
_ASKED = 5
"""Things whose blobs are looked for."""
_VISIBLE = 60
"""Seconds after which a file that one machine has written is seen by all."""


class Belonging:
    """What one process sees of it."""

    def __init__(self, archive: Archive, client: Redis) -> None:
        self._archive = archive
        self._client = client
        self._found = False
        """The blobs are those that the index names."""

    def check(self) -> None:
        """At the start. Raises ConfigError where those who live use another archive."""
        with suppress(*Outage):
            if not registry.gateways(self._client):
                self._client.delete(Key.ARCHIVE_USED)
        self.look()

    def start(self, loops: Loops) -> None:
        loops.start("belonging", self.look, pause=PERIOD)

    def look(self) -> None:
        """Raises ConfigError. What is out of reach is asked later."""
        with suppress(ArchiveUnavailable, ArchiveDamaged, *Outage):
            self._name_index()
            self._find_blobs()

    def _name_index(self) -> None:
        """Say which index is used here, once there is something in it."""
        index = self._archive.index
        used: Any = self._client.get(Key.ARCHIVE_USED)
        if not used and index.held(None).things:
            used = self._client.set(Key.ARCHIVE_USED, index.identity(), nx=True, ex=LASTS, get=True) or index.identity()
        if used and _text(used) != index.identity():
            raise ConfigError(
                "other gateways on this Redis use another archive than this one: give all of them the same"
                " INFERQ_ARCHIVE and INFERQ_ARCHIVE_INDEX (`redis` on several machines)"
            )
        if used:
            self._client.expire(Key.ARCHIVE_USED, LASTS)

    def _find_blobs(self) -> None:
        if self._found or not self._archive.index.held(None).things:
            return
        if owner_of(self._archive) is None and lacks_blobs(self._archive):
            raise ConfigError(
                "INFERQ_ARCHIVE names a place without the blobs that the index knows: all gateways that share an"
                " index have to share that folder, or that bucket. Is it mounted?"
            )
        self._found = True


def owner_of(archive: Archive) -> str | None:
    """The identity of the index that the blobs belong to; None where they do not tell."""
    try:
        return b"".join(archive.blobs.read(MARK)).decode()
    except NotStored:
        return None


def lacks_blobs(archive: Archive) -> bool:
    """Whether a few things that have been there for a while have blobs that are not."""
    before = time.time() - _VISIBLE
    some = [thing for thing in islice(archive.index.walk(), 20 * _ASKED) if thing.blob and thing.created < before]
    missing = [thing for thing in some[:_ASKED] if archive.blobs.size(thing.blob) is None]
    return bool(missing and archive.index.blobs([thing.id for thing in missing]))


def _text(told: bytes | str) -> str:
    return told.decode() if isinstance(told, bytes) else told
