"""The feeder: one loop a process that sees to the batches of all owners which have not ended.

Each is fed by one process, which says so in Redis for some seconds; see `Feed`. Processes take them on one at a time,
so that those of several machines share them.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from functools import partial

import gevent
from gevent.event import Event

from gateway.archive.archive import Archive
from gateway.archive.thing import Thing
from gateway.batches.batch import Batch, BatchStatus
from gateway.batches.feed import Feed
from gateway.batches.flights import Flights
from gateway.batches.lease import FeedLease
from gateway.batches.line_jobs import LineJobs
from gateway.batches.numbers import BatchNumbers
from gateway.batches.open_batches import OpenBatches
from gateway.batches.untold import Broken
from gateway.keys import EVERYBODY, Keys, Owner
from gateway.recordings import Recordings
from shared.errors import ArchiveDamaged, ArchiveUnavailable, InferqError, NotStored
from shared.loops import Loops
from shared.store import Outage

log = logging.getLogger(__name__)

PERIOD = 1.0
"""Seconds between two looks."""
MOST_FED = 16
"""Batches that a process feeds at one time; others wait for their turn, or for another process."""
MOST_HELD = 64
"""The same with those whose lines wait for room in the queue, or for a worker."""
OWNER_PATIENCE = 60.0
"""Seconds for which the batches wait of whom the keys do not name any more."""
_STEP = 0.2
"""Seconds for which a process leaves others to others, for each that it feeds."""
_FIRST, _LONGEST = 1.0, 30.0
"""Seconds before a batch is fed again that could not be, more each time."""


class Feeder:
    """Of one process."""

    def __init__(
        self,
        archive: Archive,
        recordings: Recordings,
        jobs: LineJobs,
        lease: FeedLease,
        keys: Keys,
        numbers: BatchNumbers,
        enter: Callable[[], AbstractContextManager[object]],
    ) -> None:
        """`enter` gives what the application's parts are found by."""
        self._archive = archive
        self._open = OpenBatches(archive)
        self._recordings = recordings
        self._jobs = jobs
        self._lease = lease
        self._keys = keys
        self._numbers = numbers
        self._enter = enter
        self._feeds = dict[str, Feed]()
        self._resting = dict[str, tuple[float, float]]()
        """Until when, and for how long, batches are not fed that could not be."""
        self._unknown = dict[str, float]()
        """Since when the keys do not name an owner."""
        self._hurry = Event()
        self._pause = PERIOD
        self._trouble = ""
        self._stopped = False

    def start(self, loops: Loops) -> None:
        loops.start("feeder", self._step)

    def hurry(self) -> None:
        """There may be something to do."""
        self._hurry.set()

    def stop(self) -> None:
        """Let go of all: another process goes on at once."""
        self._stopped = True
        for feed in self._feeds.values():
            self._stop(feed)
        with suppress(*Outage):
            for batch_id in list(self._feeds):
                self._lease.let_go(batch_id)

    def _step(self) -> None:
        hurry = self._hurry.wait(self._pause)
        self._hurry.clear()
        try:
            for batch_id, feed in list(self._feeds.items()):
                if self._stopped:  # to renew what was let go of is to take it again, and nobody would go on with it
                    return
                if not self._lease.renew(batch_id):
                    log.warning("another process feeds %s", batch_id)
                    self._stop(feed)
            self._look(sure=hurry)
            self._trouble = ""
        except ArchiveUnavailable as exc:  # no fault of this process: all else is served
            if not self._trouble:
                log.error("batches wait: %s", exc)
            self._trouble = exc.message

    def _look(self, *, sure: bool) -> None:
        found = {thing.id: thing for thing in self._open.find(sure=sure)}
        self._numbers.tell(len(found))
        for batch_id in self._resting.keys() - found.keys():
            del self._resting[batch_id]
        for batch_id, feed in self._feeds.items():
            thing = found.get(batch_id)
            facts = thing.facts if thing else {}
            if thing and (facts.get("status") == BatchStatus.CANCELLING or facts.get("due", 0) <= time.time()):
                feed.news.set()
            if thing and not feed.orphan and self._is_gone(thing.owner):
                self._stop(feed)
        if thing := self._next(found.values()):
            self._begin(thing)
        # There may be more of them, which are left to who feeds fewer.
        self._pause = min(PERIOD, _STEP * len(self._feeds)) if thing else PERIOD

    def _next(self, found: Iterable[Thing]) -> Thing | None:
        """One that is this process's from now on: of those whose owner has the fewest here.

        Where there is no place for it, whoever has the most gives one up.
        """
        busy = [feed for feed in self._feeds.values() if not feed.idle]
        held = busy if len(busy) >= MOST_FED else list(self._feeds.values())
        full, fed = held is busy or len(held) >= MOST_HELD, Counter(feed.owner for feed in held)
        greediest, most = fed.most_common(1)[0] if full else ("", 0)
        for thing in sorted(found, key=lambda thing: (fed[thing.owner], thing.created)):
            if self._stopped or (full and (most <= fed[thing.owner] + 1 or any(feed.stopped for feed in held))):
                return None
            if thing.id not in self._feeds and self._may_begin(thing) and self._lease.take(thing.id):
                if full:
                    self._stop([feed for feed in held if feed.owner == greediest][-1])
                return thing
        return None

    def _may_begin(self, thing: Thing) -> bool:
        rests = time.monotonic() < self._resting.get(thing.id, (0.0, 0.0))[0]
        return not rests and (self._owner(thing.owner) is not None or self._is_gone(thing.owner))

    def _is_gone(self, owner: str) -> bool:
        """Whether the keys have not named an owner for a while: who knows others may feed for him meanwhile."""
        if self._owner(owner):
            self._unknown.pop(owner, None)
            return False
        return time.monotonic() - self._unknown.setdefault(owner, time.monotonic()) >= OWNER_PATIENCE

    def _owner(self, name: str) -> Owner | None:
        return self._keys.named(name) if self._keys else EVERYBODY if name == EVERYBODY.name else None

    def _begin(self, thing: Thing) -> None:
        try:
            feed = Feed(self._archive, thing, partial(self._make, thing), self._numbers)
        except ArchiveDamaged as exc:
            self._rest(thing.id, exc)
            self._lease.let_go(thing.id)
            return
        feed.orphan = self._owner(thing.owner) is None
        self._feeds[thing.id] = feed
        gevent.spawn(self._run, thing.id, feed)

    def _make(self, thing: Thing, batch: Batch) -> Flights:
        if owner := self._owner(thing.owner):
            return Flights(thing.id, batch, owner, self._jobs, self._recordings)
        raise Broken("invalid_api_key", "The API key of this batch is none of the gateway's any more.")

    def _run(self, batch_id: str, feed: Feed) -> None:
        try:
            with self._enter():
                feed.run()
            self._resting.pop(batch_id, None)
        except NotStored:
            log.info("%s was removed, or somebody else has ended it", batch_id)
        except Exception as exc:  # noqa: BLE001 - it concerns this batch alone, which is begun anew
            self._rest(batch_id, exc)
        finally:
            if self._feeds.get(batch_id) is feed:
                del self._feeds[batch_id]
            with suppress(*Outage):
                self._lease.let_go(batch_id)

    def _rest(self, batch_id: str, exc: Exception) -> None:
        foreseen = isinstance(exc, (InferqError, *Outage))
        pause = min(_LONGEST, 2 * self._resting.get(batch_id, (0.0, _FIRST / 2))[1])
        self._resting[batch_id] = time.monotonic() + pause, pause
        log.warning("%s waits for %.0f s: %s", batch_id, pause, exc, exc_info=None if foreseen else exc)

    def _stop(self, feed: Feed) -> None:
        feed.stopped = True
        feed.news.set()
