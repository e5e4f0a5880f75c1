"""Faults of the snapshots of prompts, in a folder that all workers share: they are cut, spoiled, swapped and taken
away, and the folder is filled, full and out of reach.

Such a fault has hit the snapshots of which somebody has made others, because he looked for them in vain.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.chaos.faults import Fault, Ground, Makers
from tests.prefixes import snapshots
from tests.stack import Process, children
from worker.prefixes.chain import LEAST, Chain, link, shared
from worker.prefixes.snapshot import begin, read_chain

CUT, SPOILED, SWAPPED, DELETED = "snapshot cut", "snapshot spoiled", "snapshots swapped", "snapshot deleted"
UNREADABLE, FILLED, FULL, AWAY = "snapshot unreadable", "prefixes filled", "no space for prefixes", "prefixes away"
_ANSWERS, _NOTICED = 20, 5.0
"""Answers after which nobody seems to miss a snapshot, and seconds without one after which all have theirs."""
_PERIOD = 0.02
_LARGE, _NOTHING = 1 << 40, 4096
"""Bytes of a snapshot that nobody has made, more than there may be; and of a file where there is no space for more."""

Known = dict[Path, tuple[int, Chain, int]]
"""Each snapshot's inode, of which prefix it is, and its bytes."""


class PrefixFaults:
    """Of the folder of snapshots."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._folder = Path(ground.house.stack.settings["prefixes"])
        self._hidden = False
        self.makers: Makers = {
            CUT: lambda: self._hurt(CUT, self._cut),
            SPOILED: lambda: self._hurt(SPOILED, self._spoil),
            SWAPPED: lambda: self._hurt(SWAPPED, self._swap),
            DELETED: lambda: self._hurt(DELETED, lambda path: path.unlink()),
            UNREADABLE: lambda: self._hurt(UNREADABLE, _put_a_pipe),
            FILLED: self._fill,
            FULL: self._exhaust,
            AWAY: self._hide,
        }

    async def _hurt(self, kind: str, hurt: Callable[[Path], None]) -> Fault | None:
        """All of them. It hit as many as are made anew."""
        before, fault, gone = self._look(), Fault(kind, time.monotonic(), 0), list[tuple[Path, Chain]]()
        for path, (_, chain, size) in before.items():
            if size < _LARGE:
                with suppress(OSError, ValueError):  # it has gone meanwhile
                    hurt(path)
                    gone.append((path.parent, chain))
        if not gone:
            return None
        old = {inode for inode, _, _ in before.values()}

        def count() -> int:
            new = [(path.parent, chain) for path, (inode, chain, _) in self._look().items() if inode not in old]
            return sum(
                any(place == other and shared(one, chain) >= LEAST for other, chain in new) for place, one in gone
            )

        return self._watch(fault, count)

    def _cut(self, path: Path) -> None:
        os.truncate(path, self._ground.random.randrange(path.stat().st_size))

    def _spoil(self, path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(self._ground.random.randrange(path.stat().st_size))
            was = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([was[0] ^ 1 << self._ground.random.randrange(8)]))

    def _swap(self, path: Path) -> None:
        """With any other, of another prompt or another model. Raises ValueError where there is none."""
        others = [other for other in snapshots(self._folder) if other != path]
        if not others:
            raise ValueError("it is alone")
        other, away = self._ground.random.choice(others), path.with_name("away.part")
        path.rename(away)
        other.rename(path)
        away.rename(other)

    async def _fill(self) -> Fault | None:
        """One is there that takes more than there may be in all. It hit when somebody made room."""
        found = snapshots(self._folder)
        if not found:
            return None
        large = found[0].with_name(f"{self._ground.random.getrandbits(128):032x}")
        large.write_bytes(begin(link(b"nobody", range(LEAST))))
        os.truncate(large, _LARGE)
        return self._watch(Fault(FILLED, time.monotonic(), 0), lambda: int(not large.exists()))

    async def _exhaust(self) -> Fault | None:
        """No file of a worker or an engine host may grow. It hit the prefixes that somebody reads meanwhile."""
        house = self._ground.house
        workers = [worker.process for worker in house.workers if worker.up.is_set()]
        if not workers:
            return None
        fault = Fault(FULL, time.monotonic(), 0)
        _bound_files(workers, _NOTHING)
        with suppress(OSError):
            for path in snapshots(self._folder):
                path.unlink(missing_ok=True)

        async def heal() -> None:
            seen = set[int]()
            end = time.monotonic() + self._ground.random.uniform(1, 3)
            while time.monotonic() < end:
                await asyncio.sleep(_PERIOD)
                for part in self._folder.glob("*/*.part"):
                    with suppress(OSError):
                        seen.add(part.stat().st_ino)
                fault.hit = len(seen)
            _bound_files(workers, resource.RLIM_INFINITY)

        return self._ground.watch(fault, house.gateway, heal())

    async def _hide(self) -> Fault | None:
        """A file stands where the folder is to be. It hit the jobs that run meanwhile."""
        away = self._folder.with_name("away")
        if self._hidden or not self._folder.is_dir():
            return None
        self._hidden = True
        fault = Fault(AWAY, time.monotonic(), 0)
        self._folder.rename(away)
        self._folder.write_text("no folder")

        async def heal() -> None:
            jobs = set[str]()
            end = time.monotonic() + self._ground.random.uniform(0.5, 2)
            while time.monotonic() < end:
                jobs |= (await self._ground.house.running()).keys()
                await asyncio.sleep(5 * _PERIOD)
            fault.hit = len(jobs)
            self._folder.unlink()
            away.rename(self._folder)
            self._hidden = False

        return self._ground.watch(fault, self._ground.house.gateway, heal())

    def _look(self) -> Known:
        found: Known = {}
        for path in snapshots(self._folder):
            with suppress(OSError):
                if chain := read_chain(path):
                    told = path.stat()
                    found[path] = told.st_ino, chain, told.st_size
        return found

    def _watch(self, fault: Fault, count: Callable[[], int]) -> Fault:
        async def look() -> None:
            begun = seen = self._ground.answered()
            last = time.monotonic()
            while not fault.hit and seen < begun + _ANSWERS and time.monotonic() < last + _NOTICED:
                await asyncio.sleep(5 * _PERIOD)
                fault.hit = count()
                if (now := self._ground.answered()) > seen:
                    seen, last = now, time.monotonic()

        return self._ground.watch(fault, self._ground.house.gateway, look())


def _put_a_pipe(path: Path) -> None:
    """In its place: nobody can read it, root neither."""
    path.unlink()
    os.mkfifo(path)


def _bound_files(workers: Sequence[Process], size: int) -> None:
    """Of these and their engine hosts, also those that have begun meanwhile, and have the bounds of their worker."""
    for pid in (*(worker.pid for worker in workers), *children(*workers)):
        with suppress(ProcessLookupError):
            _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))
