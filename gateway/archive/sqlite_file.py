"""A file of SQLite: how it is opened, by several processes at once, and worked on in threads.

What is committed is on the disk: no death of a process loses it, nor a loss of power.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from gevent.monkey import get_original
from gevent.threadpool import ThreadPool

from gateway.archive.mounts import network_type
from gateway.archive.threads import apart
from shared.errors import ArchiveUnavailable
from shared.file_lock import FileLock
from shared.folders import make_private

log = logging.getLogger(__name__)

T = TypeVar("T")

_APPLICATION = 0x69_6E_66_71
"""By which SQLite knows whose file it is: `infq`."""
_BUSY = 30.0
"""Seconds to wait for another process that writes."""
_CACHE = 16_384
"""KiB of the file that each of the two connections keeps."""
_LARGEST_LOG = 67_108_864
"""Bytes that are kept of the log of changes when it is empty."""
_TOGETHER = 100
"""Works that are committed at one time."""


class _Write:
    """Of one who writes."""

    def __init__(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        self.work = work
        self.done = False
        self.found: Any = None
        self.fault: Exception | None = None


class SqliteFile:
    """Two connections a process, each with a thread: readers do not wait for writers.

    `steps` are the statements that lead from each version of the schema to the next one, from an empty file on.
    """

    def __init__(self, path: Path, steps: Sequence[Sequence[str]]) -> None:
        self._path = path
        self._steps = steps
        self._pools = {writes: ThreadPool(1) for writes in (False, True)}
        self._locks = {writes: get_original("_thread", "allocate_lock")() for writes in self._pools}  # see `_do`
        self._turns = deque[_Write]()
        self._open: dict[bool, tuple[sqlite3.Connection, tuple[int, int]]] = {}
        self._known = False
        """It was used: where it is not there now, its disk is away, or somebody has moved it."""

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """On one state of it, whatever others write; where there is no file, on an empty one."""
        return self._do(partial(self._run, work, False), writes=False)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """In one step, which is undone where it raises. One process writes at a time, the others wait.

        Those of a process who wait at the same time go to the disk at one time: that takes longer than all their work.
        """
        turn = _Write(work)
        self._turns.append(turn)
        self._do(partial(self._take_turns, turn), writes=True)
        if turn.fault is None:
            return cast(T, turn.found)
        try:
            if isinstance(turn.fault, (sqlite3.Error, OSError)):
                raise ArchiveUnavailable(f"{self._path}: {turn.fault}") from turn.fault
            raise turn.fault
        finally:
            del turn  # its fault knows this frame, which would keep it until a full garbage collection

    def close(self) -> None:
        for writes, pool in self._pools.items():
            apart(partial(self._leave, writes), pool)

    def _do(self, work: Callable[[], T], *, writes: bool) -> T:
        def alone() -> T:  # from threads that are not the pool's owner, gevent runs it at once
            with self._locks[writes]:
                return work()

        try:
            return apart(alone, self._pools[writes])
        except (sqlite3.Error, OSError) as exc:
            raise ArchiveUnavailable(f"{self._path}: {exc}") from exc

    def _take_turns(self, mine: _Write) -> None:
        """Mine and those of all who wait; nothing where another has taken mine. By the one thread that writes."""
        while not mine.done:
            turns = [self._turns.popleft() for _ in range(min(len(self._turns), _TOGETHER))]
            try:
                self._run(partial(_do_all, turns), True)
            except Exception as exc:  # noqa: BLE001 - each of them raises it
                for turn in turns:
                    turn.fault = exc
            finally:
                for turn in turns:
                    turn.done = True

    def _run(self, work: Callable[[sqlite3.Connection], T], writes: bool) -> T:
        if not writes and not self._is_there():
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
                _upgrade(empty, self._steps)
                return work(empty)
        db = self._connection(writes)
        try:
            db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            self._check(db)
            found = work(db)
            db.execute("COMMIT")
            self._known = True
        except BaseException as exc:
            with suppress(sqlite3.Error):
                if db.in_transaction:
                    db.execute("ROLLBACK")
            if isinstance(exc, (sqlite3.DatabaseError, ArchiveUnavailable)):
                self._leave(writes)  # the next one looks at it anew: it may be mended by then
            raise
        return found

    def _connection(self, writes: bool) -> sqlite3.Connection:
        """That to the file which is there now: somebody may have put another in its place."""
        with suppress(FileNotFoundError):
            told = self._path.stat()
            if writes in self._open and self._open[writes][1] == (told.st_dev, told.st_ino):
                return self._open[writes][0]
        self._leave(writes)
        db = self._connect()
        told = self._path.stat()
        self._open[writes] = db, (told.st_dev, told.st_ino)
        return db

    def _connect(self) -> sqlite3.Connection:
        if not self._is_there():
            self._begin()
        db = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            for setting in ("synchronous = FULL", f"cache_size = -{_CACHE}", f"journal_size_limit = {_LARGEST_LOG}"):
                db.execute(f"PRAGMA {setting}")
            with self._alone():
                self._make(db)
            self._check(db)
        except BaseException:
            db.close()
            raise
        return db

    def _begin(self) -> None:
        """Make an empty file, for this user alone: SQLite gives those that it makes beside it the same mode.

        It comes there when nobody has it open any more. Who opens and closes a file gives up all locks that his process
        has on it: then another one, that leaves, would take itself for the last and remove what was not written back.
        """
        make_private(self._path.parent)
        if kind := network_type(self._path.parent):
            log.warning("%s lies on a network (%s): only gateways of one machine may use it", self._path, kind)
        part = self._path.with_suffix(".part")
        with self._alone():
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            if self._path.exists():
                part.unlink()
            else:
                part.replace(self._path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Within, no other process makes the file, or changes what it is. One that was stopped is not waited for."""
        with closing(FileLock(self._path.with_suffix(".lock"))) as lock:
            if not lock.wait(_BUSY):
                raise ArchiveUnavailable(f"another process holds {self._path.with_suffix('.lock')}")
            yield

    def _is_there(self) -> bool:
        """Whether there is a file. Raises ArchiveUnavailable where there was one: a new one would know of nothing."""
        there = self._path.exists()
        if self._known and not there:
            raise ArchiveUnavailable(f"{self._path} is not there any more: put it back, or restart to begin anew")
        return there

    def _make(self, db: sqlite3.Connection) -> None:
        """Bring it to this version, and to a log of changes: a copy by VACUUM INTO has none."""
        if _application(db) != _APPLICATION and db.execute("SELECT 1 FROM sqlite_master").fetchone():
            return  # `_check` says so
        db.execute("PRAGMA journal_mode = WAL")
        if _version(db) < len(self._steps):
            db.execute("BEGIN IMMEDIATE")
            _upgrade(db, self._steps)
            db.execute("COMMIT")

    def _check(self, db: sqlite3.Connection) -> None:
        """Raises ArchiveUnavailable for what is none of ours, or of a release that is newer than this one."""
        if _application(db) != _APPLICATION:
            raise ArchiveUnavailable(f"{self._path} is no index of inferq: give it another folder")
        if (version := _version(db)) != len(self._steps):
            raise ArchiveUnavailable(
                f"{self._path} has version {version}, and this release knows {len(self._steps)}: use the newer release"
            )

    def _leave(self, writes: bool) -> None:
        if left := self._open.pop(writes, None):
            left[0].close()


def _upgrade(db: sqlite3.Connection, steps: Sequence[Sequence[str]]) -> None:
    for step in steps[_version(db) :]:
        for statement in step:
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {_APPLICATION}")
    db.execute(f"PRAGMA user_version = {len(steps)}")


def _application(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA application_id").fetchone()[0])


def _do_all(turns: Iterable[_Write], db: sqlite3.Connection) -> None:
    """Each in a step of its own, so that what it raises undoes nobody else's; what the file raises undoes all."""
    for turn in turns:
        db.execute("SAVEPOINT turn")
        try:
            turn.found = turn.work(db)
        except (ArchiveUnavailable, sqlite3.OperationalError):
            raise
        except Exception as exc:  # whoever asked for this step is told; the others' are committed
            if not db.in_transaction or type(exc) is sqlite3.DatabaseError:
                raise
            db.execute("ROLLBACK TO turn")
            turn.fault = exc
        db.execute("RELEASE turn")


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
