"""The folder of snapshots, which the workers of a machine share, and which outlives them.

Each key has a folder of its own there, whose name nobody can guess; a snapshot in it is named by its prefix. What is
being read is there as a *promise*, a part that its reader has locked: who needs the same waits until that is free.
"""

from __future__ import annotations

import errno
import hmac
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shared.cancellation import Cancellable, check
from shared.config import Config
from shared.file_lock import FileLock
from shared.folders import check_ours, make_private
from shared.regular_file import read_bytes
from worker.prefixes.bounds import SnapshotBounds
from worker.prefixes.chain import BLOCK, Chain, shared
from worker.prefixes.snapshot import Snapshot, begin, read_chain, write_state

log = logging.getLogger(__name__)

_SECRET, _LOCK, _PART = "secret", "lock", ".part"
_DIGITS = 32
COVERS = 2
"""A snapshot is good for a prefix that is no shorter than one part in so many of it."""
LONGEST_SILENCE = 10.0
"""Seconds in which a reader has to be heard of, else others read for themselves."""
_PATIENCE = 1.0
"""Seconds that somebody may have the folder for himself."""
_PERIOD = 0.02
"""Seconds between two looks whether a promise is kept."""


class Promised(Exception):
    """Somebody else reads this prefix at the moment."""

    def __init__(self, part: Path) -> None:
        super().__init__(part.name)
        self.part = part


@dataclass(frozen=True, slots=True)
class Promise:
    """A prefix that is being read by its maker."""

    store: SnapshotFolder
    target: Path
    chain: Chain
    lock: FileLock

    @property
    def tokens(self) -> int:
        return len(self.chain) * BLOCK

    def renew(self) -> None:
        """Tell those who wait that it is being read."""
        os.utime(self.lock.fd)

    def keep(self, state: BinaryIO, work: Cancellable, *, asked: bool = True) -> bool:
        """Make a snapshot of the engine's state, where there is room for it. One that nobody has asked for, unless it
        goes on from one that somebody has, is the first to go. Raises OSError, JobCancelled."""
        size = os.fstat(state.fileno()).st_size
        if not self.store.bounds.make_room(self.target.parent, size):
            return False
        write_state(begin(self.chain), state, size, self.lock.fd, lambda: check(work))
        part_of(self.target).replace(self.target)
        if not self.store.replace_beginnings(Snapshot(self.target, self.chain)) and not asked:
            self.store.bounds.defer(self.target)
        return True


def open_folder(config: Config, why_not: str) -> SnapshotFolder | None:
    """The one that is configured; None where there is none or it cannot be used, and for a model that has a reason."""
    if not config.prefixes or not config.prefix_bytes:
        return None
    if why_not:
        log.info("no prefixes are kept of this model: %s", why_not)
        return None
    try:
        folder = Path(config.prefixes)
        return SnapshotFolder(folder, SnapshotBounds(folder, config.prefix_bytes, config.prefix_hours * 3600))
    except OSError as exc:
        log.warning("no prefixes are kept: %s", exc)
        return None


class SnapshotFolder:
    """Raises OSError where the folder cannot be made or read."""

    def __init__(self, folder: Path, bounds: SnapshotBounds) -> None:
        self.bounds = bounds
        self._folder = folder
        self._known: dict[Path, Chain] = {}
        make_private(folder)
        if any(folder.iterdir()):  # in an empty one nobody has put anything yet
            check_ours(folder)
        folder.chmod(0o700)
        self._secret = self._provide_secret()

    def seed(self, *said: str) -> bytes:
        """Of chains of those of whom this is said; nobody without the folder's secret can make the same."""
        return hmac.digest(self._secret, "\0".join(said).encode(), "sha256")

    def place(self, owner: str) -> Path:
        """The folder of this key."""
        return self._folder / self.seed("owner", owner).hex()[:_DIGITS]

    def find(self, place: Path, chain: Chain) -> tuple[int, Snapshot | None]:
        """How many of its tokens the best snapshot begins with, and that: of several the shortest."""
        found = [(shared(each.chain, chain), -each.tokens, each) for each in self._snapshots(place)]
        most, _, best = max(found, key=lambda one: one[:2], default=(0, 0, None))
        return (most, best) if most else (0, None)

    def covered(self, place: Path, chain: Chain) -> int:
        """How many of its tokens need not be kept any more."""
        found = [(shared(each.chain, chain), each.tokens) for each in self._snapshots(place)]
        return max((most for most, tokens in found if most * COVERS >= tokens), default=0)

    def touch(self, snapshot: Snapshot) -> None:
        """It was of use."""
        with suppress(OSError):
            os.utime(snapshot.path)

    def drop(self, snapshot: Snapshot) -> None:
        """It is spoiled."""
        with suppress(OSError):
            snapshot.path.unlink()

    @contextmanager
    def promise(self, place: Path, chain: Chain, known: int, least: int) -> Iterator[Promise]:
        """Within `with`, others see that this prefix is being read. Raises OSError, and Promised where another one
        reads so many tokens of it, at least, beyond those that are `known`."""
        place.mkdir(mode=0o700, exist_ok=True)
        target = place / chain[-1]
        with self._alone():
            for part in place.glob(f"*{_PART}"):
                with suppress(FileNotFoundError), closing(FileLock(part, flags=os.O_RDWR)) as other:
                    if other.take():
                        part.unlink()  # its maker is dead
                    elif shared(read_chain(part) or (), chain) >= known + least:
                        raise Promised(part)
            lock = FileLock(part_of(target), flags=os.O_RDWR | os.O_CREAT | os.O_EXCL)
            lock.take()
            os.write(lock.fd, begin(chain))
        try:
            yield Promise(self, target, chain, lock)
        finally:
            with suppress(FileNotFoundError):
                if os.path.samestat(part_of(target).stat(), os.fstat(lock.fd)):  # and not another one's
                    part_of(target).unlink()
            lock.close()

    def wait(self, promised: Promised, work: Cancellable) -> bool:
        """Until that promise is kept or broken. False: nothing was heard of it for long. Raises JobCancelled."""
        try:
            while abs(time.time() - promised.part.stat().st_mtime) < LONGEST_SILENCE:  # a clock may be set back
                check(work)
                with closing(FileLock(promised.part, flags=os.O_RDWR)) as lock:
                    if lock.take():
                        return True
                time.sleep(_PERIOD)
        except OSError:  # it is gone
            return True
        return False

    def replace_beginnings(self, newest: Snapshot) -> bool:
        """Remove the snapshots that this one goes on from, unless others go on from them in other ways; whether there
        were such."""
        snapshots, replaced = self._snapshots(newest.path.parent), False
        for each in snapshots:
            goes_on = [other for other in snapshots if other.tokens > each.tokens and _begins(each, other)]
            if [other.path for other in goes_on] == [newest.path] and each.tokens * COVERS >= newest.tokens:
                self.drop(each)
                replaced = True
        return replaced

    def _snapshots(self, place: Path) -> list[Snapshot]:
        """Those of a key. What is no snapshot goes."""
        try:
            paths = [path for path in place.iterdir() if path.suffix != _PART]
        except FileNotFoundError:
            return []
        found = []
        for path in paths:
            with suppress(OSError):
                chain = self._known.get(path) or read_chain(path)
                if chain is None:
                    path.unlink()
                else:
                    self._known[path] = chain
                    found.append(Snapshot(path, chain))
        for path in self._known.keys() - set(paths):
            if path.parent == place:
                self._known.pop(path, None)
        return found

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Raises OSError where another one, who may have been stopped, has it for long."""
        with closing(FileLock(self._folder / _LOCK)) as lock:
            if not lock.wait(_PATIENCE):
                raise TimeoutError(errno.ETIMEDOUT, "somebody else has it", str(self._folder / _LOCK))
            yield

    def _provide_secret(self) -> bytes:
        path = self._folder / _SECRET
        with self._alone():
            with suppress(FileNotFoundError):
                if len(secret := read_bytes(path)) == _DIGITS:
                    return secret
            secret = secrets.token_bytes(_DIGITS)
            part = path.with_name(f"{_SECRET}{_PART}")
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secret)
            part.replace(path)
        return secret


def part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}{_PART}")


def _begins(one: Snapshot, other: Snapshot) -> bool:
    return shared(one.chain, other.chain) == one.tokens
