"""The child that speaks to a store of objects through fsspec.

fsspec waits in threads and event loops of its own, which gevent must not have patched; so they run in this process. It
reads requests, a line of JSON each, and writes for each a line and as many bytes as that says, in any order.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Lock
from typing import Any

import fsspec
from msgspec.json import decode, encode
from setproctitle import setproctitle

from gateway.archive.blob_wire import MOST_REQUESTS, BlobReply, BlobRequest
from shared.lifeline import die_with_parent


class ObjectStore:
    """What is below a URL."""

    def __init__(self, url: str) -> None:
        self._files, root = fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
        self._root = root.rstrip("/")

    def work(self, asked: BlobRequest) -> bytes:
        """Raises FileNotFoundError, and whatever the store does."""
        path = f"{self._root}/{asked.name}".rstrip("/")
        match asked.work:
            case "write":
                self._write(asked.path, path)
            case "read":
                return self._read(path, asked.start, asked.end)
            case "size":
                return encode(self._files.info(path)["size"])
            case "remove":
                self._files.rm_file(path)
            case "list":
                found = self._files.ls(path, detail=True)
                return encode([_entry(each) for each in found if each["name"].rstrip("/") != path.lstrip("/")])
            case other:
                raise ValueError(other)
        return b""

    def _write(self, local: str, path: str) -> None:
        try:
            self._files.put_file(local, path)
        except FileNotFoundError:  # where folders are more than a part of the name
            if (bucket := self._root.partition("/")[0]) and not self._files.exists(bucket):
                raise  # it would be made
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.put_file(local, path)

    def _read(self, path: str, start: int, end: int) -> bytes:
        try:
            return bytes(self._files.cat_file(path, start=start, end=end))
        except FileNotFoundError:
            raise
        except Exception:  # each store has errors of its own for it
            if start < self._files.info(path)["size"]:
                raise
            return b""  # some stores refuse what begins beyond the end


def _entry(found: Mapping[str, Any]) -> tuple[str, bool, int, float]:
    """The last part of its name, whether it is a folder, bytes, and when it was written."""
    return (
        found["name"].rstrip("/").rpartition("/")[2],
        found["type"] == "directory",
        found["size"] or 0,
        _written(found),
    )


def _written(found: Mapping[str, Any]) -> float:
    """Unix time; now where the store does not tell, so that it never seems old."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        match found.get(name):
            case datetime() as moment:
                return moment.timestamp()
            case int() | float() as seconds:
                return float(seconds)
    return time.time()


def main() -> None:
    die_with_parent()
    setproctitle("inferq blobs")
    for stop in (signal.SIGINT, signal.SIGTERM):  # the parent's end is this one's
        signal.signal(stop, signal.SIG_IGN)
    url, trouble, store = sys.stdin.buffer.readline().decode().strip(), "", None
    try:
        store = ObjectStore(url)
    except Exception as exc:  # noqa: BLE001 - a package that lacks, a URL that is none: each request is told
        trouble = _words(exc)
    speaking = Lock()

    def serve(asked: BlobRequest) -> None:
        said, blob = BlobReply(asked.number, error=trouble), b""
        try:
            if store:
                blob = store.work(asked)
                said.bytes = len(blob)
        except Exception as exc:  # noqa: BLE001 - whatever a store raises, whoever asked is told
            if isinstance(exc, FileNotFoundError) and asked.work != "write":
                said.missing = True
            else:
                said.error = _words(exc)
        with speaking:
            sys.stdout.buffer.write(encode(said) + b"\n" + blob)
            sys.stdout.buffer.flush()

    with ThreadPoolExecutor(MOST_REQUESTS) as pool:
        for line in sys.stdin.buffer:
            pool.submit(serve, decode(line, type=BlobRequest))


def _words(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"


if __name__ == "__main__":
    main()
