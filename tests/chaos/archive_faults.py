"""Faults of the archive: nothing can be written to it, and gateways die between a blob and its place in the index."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from contextlib import closing, suppress
from os import kill
from pathlib import Path

from gateway.archive.archive import Archive
from gateway.archive.housekeeping import unnamed
from tests.chaos.faults import Fault, Ground, Makers

HIDDEN, UNNAMED = "archive out of reach", "SIGKILL gateway before the index"
RECOVERED = 10.0
"""Seconds after which all is stored that had to wait."""
_PATIENCE = 3.0
"""Seconds in which somebody stores something, as a rule."""


class ArchiveFaults:
    """Of the archive, which lies in a folder."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._hidden = False
        self.makers: Makers = {
            HIDDEN: self._hide,
            UNNAMED: self._kill_before_the_index,
        }

    @property
    def _folder(self) -> Path:
        return Path(self._ground.house.stack.settings["archive"])

    async def _hide(self) -> Fault | None:
        """A file stands where the blobs are to be. It hit the answers that had to wait for it to go."""
        blobs, away = self._folder / "blobs", self._folder / "away"
        if self._hidden or not blobs.exists():
            return None
        self._hidden = True
        fault = Fault(HIDDEN, time.monotonic(), 0)
        blobs.rename(away)
        blobs.write_text("no folder")

        async def heal() -> None:
            end = time.monotonic() + self._ground.random.uniform(2, 5)
            while time.monotonic() < end:
                await asyncio.sleep(0.2)
                fault.hit = max(fault.hit, await self._ground.house.waiting())
            blobs.unlink()
            away.rename(blobs)
            self._hidden = False

        return self._ground.watch(fault, self._ground.house.gateway, heal())

    async def _kill_before_the_index(self) -> Fault | None:
        """All gateway processes die while the index cannot be written. It hit the blobs that nothing names then."""
        gateway, index = self._ground.house.gateway, self._folder / "index.db"
        if self._hidden or not gateway.up.is_set() or not index.exists():
            return None
        fault = Fault(UNNAMED, time.monotonic(), 0, stops_all=True)
        with closing(sqlite3.connect(index, isolation_level=None, timeout=2)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return None  # somebody writes all the time
            before = await self._unnamed()
            end = time.monotonic() + _PATIENCE
            while (hit := len(await self._unnamed() - before)) == 0 and time.monotonic() < end:
                await asyncio.sleep(0.05)
            for pid in self._ground.house.gateway_processes():
                with suppress(ProcessLookupError):
                    kill(pid, signal.SIGKILL)
            fault.hit = hit
            db.execute("ROLLBACK")
        return self._ground.watch(fault, gateway)

    async def _unnamed(self) -> set[str]:
        """The blobs that the index does not name."""
        archive = Archive.open(self._ground.house.stack.config())
        return await asyncio.to_thread(lambda: {name for names in unnamed(archive, time.time() + 9) for name in names})
