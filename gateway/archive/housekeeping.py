"""What the archive does by itself: what has expired goes, and so do blobs that nothing names.

Every gateway process looks for what has expired, and one of them at a time sweeps. It is no fault of a process where
the archive cannot be used: whoever asks for what is stored is told so, and everything else is served.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from gateway.archive.archive import Archive
from gateway.archive.belonging import MARK, lacks_blobs, owner_of
from gateway.archive.blobs import id_of, is_others
from shared.errors import ArchiveDamaged, ArchiveUnavailable
from shared.loops import Loops

log = logging.getLogger(__name__)

T = TypeVar("T")

PERIOD = 10.0
"""Seconds between two looks for what has expired."""
SWEEP_PERIOD = 3600.0
"""Seconds between two sweeps of the blobs."""
SPARED = 3600.0
"""Seconds for which a blob that nothing names may yet get its name."""
JUMP = 600.0
"""Seconds by which the clock may be put forward without that it is doubted."""
DOUBT = 3600.0
"""Seconds for which nothing goes after it was put forward by more: somebody may put it back."""
STEP = 100
"""Things, or blobs, that are dealt with at once."""


class Housekeeping:
    """Of one process."""

    def __init__(self, archive: Archive, loops: Loops, now: Callable[[], float] = time.time) -> None:
        self._archive = archive
        self._loops = loops
        self._now = now
        self._trouble = ""
        self._ahead = now() - _uptime()
        self._doubted = 0.0
        """The uptime until which the clock is."""

    def start(self) -> None:
        self._loops.start("archive", self.look, pause=PERIOD)

    def look(self) -> None:
        """Do what is due."""
        try:
            self._work()
        except (ArchiveUnavailable, ArchiveDamaged) as exc:
            self._archive.on_error("housekeeping")
            if exc.message != self._trouble:
                log.error("what is stored cannot be used: %s", exc)
            self._trouble = exc.message
        else:
            if self._trouble:
                log.info("what is stored can be used again")
            self._trouble = ""

    def _work(self) -> None:
        index = self._archive.index
        if self._doubts() or not index.held(None).things:
            return
        while self._archive.expire(int(self._now()), STEP) >= STEP:  # each goes once, whoever looks at the same time
            time.sleep(0.01)  # others have their turn
        if index.take_turn("sweep", SWEEP_PERIOD):
            self.sweep()

    def _doubts(self) -> bool:
        """Whether the clock was put forward lately. What would go by it could not be brought back."""
        ahead = self._now() - _uptime()
        if (jump := ahead - self._ahead) > JUMP:
            log.warning("the clock was put forward by %.0f s: nothing that is stored goes for %.0f s", jump, DOUBT)
            self._doubted = _uptime() + DOUBT
        self._ahead = ahead
        return _uptime() < self._doubted

    def sweep(self) -> int:
        """Remove the blobs that nothing names; how many there were. None goes where they are another index's."""
        if not self._are_ours():
            log.error("the blobs belong to another index, which may have been lost: none is removed (docs/storage.md)")
            return 0
        count = 0
        for names in unnamed(self._archive, self._now() - SPARED):
            for name in names:
                self._archive.blobs.remove(name)
            count += len(names)
        if count:
            log.info("%d blobs went that nothing named", count)
            self._archive.on_removal("swept", count)
        return count

    def _are_ours(self) -> bool:
        ours = self._archive.index.identity()
        if (found := owner_of(self._archive)) is None:
            if lacks_blobs(self._archive):
                return False
            self._archive.blobs.write(MARK, [ours.encode()])
            return True
        return found == ours


def _uptime() -> float:
    """Seconds of this machine since it began, those of its sleep too, whatever its clock is put to."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def unnamed(archive: Archive, before: float) -> Iterator[list[str]]:
    """The names of the blobs that no thing has, of those that were written for this index, and before then."""
    identity = archive.index.identity()
    walk = ((name, written) for name, _, written in archive.blobs.walk() if not is_others(name, identity))
    old = (name for name, written in walk if written < before and name != MARK)
    for names in chunks(old, STEP):
        named = archive.index.blobs([id_of(name) for name in names])
        yield [name for name in names if name not in named]


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of so many, the last one of fewer."""
    left = iter(items)
    while chunk := list(islice(left, size)):
        yield chunk
