"""Blobs as objects of a store, such as S3, which a child process speaks to: see blob_host.py."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import BoundedSemaphore, Event, Lock, Thread
from typing import Any

from msgspec.json import decode, encode

from gateway.archive.blob_wire import MOST_REQUESTS, BlobReply, BlobRequest
from gateway.archive.folder_blobs import FolderBlobs
from gateway.archive.threads import apart
from shared.errors import ArchiveUnavailable, NotStored
from shared.scratch import Scratch

LARGEST_READ = 4_194_304
"""Bytes that are asked for at once."""
LONGEST_REQUEST = 60.0
"""Seconds that a request to the store may take, and one more for each MiB that is written."""

_MIB = 1_048_576


class RemoteBlobs:
    """See `Blobs`. What is written lies in a local file first: a slow client keeps no connection to the store."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._host: _BlobHost | None = None
        self._starting = Lock()
        self._scratch: Scratch | None = None
        self._turns = BoundedSemaphore(MOST_REQUESTS)

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        spool, local = FolderBlobs(self.spool), f"spool/00/{secrets.token_hex(8)}"
        spool.write(local, pieces)
        try:
            size = spool.size(local) or 0
            self._ask(BlobRequest(0, "write", name, path=str(spool.folder / local)), LONGEST_REQUEST + size / _MIB)
        finally:
            spool.remove(local)

    def read(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        while end is None or start < end:
            asked = start + LARGEST_READ if end is None else min(start + LARGEST_READ, end)
            piece = self._ask(BlobRequest(0, "read", name, start=start, end=asked))
            if piece:
                yield piece
            if len(piece) < asked - start:
                return
            start = asked

    def size(self, name: str) -> int | None:
        try:
            return int(decode(self._ask(BlobRequest(0, "size", name))))
        except NotStored:
            return None

    def remove(self, name: str) -> None:
        with suppress(NotStored):
            self._ask(BlobRequest(0, "remove", name))

    def walk(self) -> Iterator[tuple[str, int, float]]:
        for kind, *_ in self._list("", folders=True):
            for shard, *_ in self._list(kind, folders=True):
                yield from self._list(shard, folders=False)

    @property
    def spool(self) -> Path:
        """The folder of what is being written."""
        with self._starting:
            self._scratch = self._scratch or apart(lambda: Scratch("inferq-blobs-"))
            return self._scratch.path

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._living().pid

    def close(self) -> None:
        """End the child; what is asked of it afterwards starts another one."""
        with self._starting:
            if self._host:
                self._host.close()
                self._host = None
            if self._scratch:
                apart(self._scratch.remove)
                self._scratch = None

    def _list(self, folder: str, *, folders: bool) -> list[tuple[str, int, float]]:
        try:
            found: list[Any] = decode(self._ask(BlobRequest(0, "list", folder)))
        except NotStored:
            return []
        below = f"{folder}/" if folder else ""
        return sorted((below + name, size, written) for name, is_folder, size, written in found if is_folder == folders)

    def _ask(self, ask: BlobRequest, timeout: float = LONGEST_REQUEST) -> bytes:
        """Once more where the child has died: each request may be repeated. Raises ArchiveUnavailable, NotStored."""
        with self._turns:
            for last in (False, True):
                host = self._living()
                try:
                    return host.ask(ask, timeout)
                except _HostGone as exc:
                    if last:
                        raise ArchiveUnavailable(f"the blob {ask.name}: its store's process has died") from exc
        raise AssertionError("returned or raised above")

    def _living(self) -> _BlobHost:
        with self._starting:
            if self._host is None or self._host.gone:
                self._host = _BlobHost(self._url)
            return self._host


class _HostGone(Exception):
    """The child ended before it has answered."""


class _BlobHost:
    """One life of the child."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-P", "-m", "gateway.archive.blob_host"]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._numbers = count(1)
        self._speaking = Lock()
        self._waiting: dict[int, _BlobWait] = {}
        self._heard = time.monotonic()
        self._ended = Event()
        self.gone = False
        with suppress(_HostGone):  # whoever asks finds out
            self._say(url.encode())
        Thread(target=self._listen, name="blobs", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._child.pid

    def close(self) -> None:
        """It ends, and whoever waits for it is told."""
        self._child.kill()
        self._ended.wait()

    def ask(self, ask: BlobRequest, timeout: float) -> bytes:
        """What it answers. Raises ArchiveUnavailable, NotStored, _HostGone."""
        number, answer, begun = next(self._numbers), _BlobWait(), time.monotonic()
        self._waiting[number] = answer
        try:
            if self.gone:
                raise _HostGone
            self._say(encode(BlobRequest(number, ask.work, ask.name, ask.path, ask.start, ask.end)))
            if not answer.there.wait(timeout):
                if self._heard < begun:  # it has answered nobody
                    self._child.kill()
                raise ArchiveUnavailable(f"the blob {ask.name}: its store has not answered for {timeout:.0f} seconds")
        finally:
            del self._waiting[number]
        if answer.said is None:
            raise _HostGone
        if answer.said.missing:
            raise NotStored(ask.name)
        if answer.said.error:
            raise ArchiveUnavailable(f"the blob {ask.name}: {answer.said.error}")
        return answer.blob

    def _say(self, line: bytes) -> None:
        assert self._child.stdin is not None
        try:
            with self._speaking:
                self._child.stdin.write(line + b"\n")
                self._child.stdin.flush()
        except (OSError, ValueError) as exc:
            self.gone = True  # before `_listen` sees it: who asks once more is to have another child
            raise _HostGone from exc

    def _listen(self) -> None:
        into, out = self._child.stdin, self._child.stdout
        assert into is not None
        assert out is not None
        try:
            while line := out.readline():
                said = decode(line, type=BlobReply)
                blob = out.read(said.bytes) if said.bytes else b""
                if len(blob) < said.bytes:
                    break
                self._heard = time.monotonic()
                if answer := self._waiting.get(said.number):
                    answer.said, answer.blob = said, blob
                    answer.there.set()
        finally:
            self.gone = True
            self._child.kill()
            self._child.wait()
            for pipe in (into, out):
                with suppress(OSError):  # with what it has not read any more
                    pipe.close()
            for answer in list(self._waiting.values()):
                answer.there.set()
            self._ended.set()


class _BlobWait:
    """Where a request waits for what comes back."""

    def __init__(self) -> None:
        self.there = Event()
        self.said: BlobReply | None = None
        self.blob = b""
