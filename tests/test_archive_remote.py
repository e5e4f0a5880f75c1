"""What is stored in a store of objects: through the real child, whose store is a folder here; S3 is `make s3`'s."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.archive.archive import Archive
from gateway.archive.remote_blobs import RemoteBlobs
from gateway.archive.thing import ThingKind
from shared.config import Config, ConfigError
from shared.errors import ArchiveDamaged, ArchiveUnavailable, NotStored
from tests.archives import answer, problems, stored


def opened(url: str, folder: Path, **settings: Any) -> Archive:
    return Archive.open(Config(archive=url, archive_index=str(folder / "index.db"), **settings))


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    archive = opened(f"file://{tmp_path}/store", tmp_path)
    yield archive
    remote(archive).close()


def remote(archive: Archive) -> RemoteBlobs:
    assert isinstance(archive.blobs, RemoteBlobs)
    return archive.blobs


def test_things_are_kept_read_and_removed(archive: Archive, tmp_path: Path) -> None:
    content = bytes(number % 251 for number in range(100_000)) * 90  # more than is asked for at once
    kept, small = archive.keep(answer(1), [content]), archive.keep(answer(2), [b"x"])
    assert kept
    assert small
    assert b"".join(archive.read(kept)) == content
    assert b"".join(archive.read(kept, 4_190_000, 4_200_000)) == content[4_190_000:4_200_000]
    assert problems(archive) == []
    assert stored(archive) == {kept.blob, small.blob}
    assert not list(remote(archive).spool.rglob("*/*/*"))
    path = tmp_path / "store" / kept.blob
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArchiveDamaged):
        b"".join(archive.read(kept))
    archive.remove("o", ThingKind.RESPONSE, answer(1).id)
    assert stored(archive) == {small.blob}
    with pytest.raises(NotStored):
        archive.read(kept)


def test_what_fails_on_its_way_reaches_no_store(archive: Archive) -> None:
    def breaks() -> Iterator[bytes]:
        yield b"x"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        archive.keep(answer(1), breaks())
    assert stored(archive) == set()
    assert not list(remote(archive).spool.rglob("*/*/*"))


def test_a_child_that_dies_is_started_again(archive: Archive) -> None:
    archive.keep(answer(0), [b"x"])
    hit = 0

    def keep(number: int) -> None:
        nonlocal hit
        if number % 10 == 5:
            with suppress(ProcessLookupError):
                os.kill(remote(archive).pid, signal.SIGKILL)
                hit += 1
        archive.blobs.write(f"file/00/{number}", [bytes(50_000)])
        assert archive.blobs.size(f"file/00/{number}") == 50_000

    with ThreadPoolExecutor(4) as pool:
        # Each request is made twice at most: of these few each meets one death or none.
        outcomes = [pool.submit(keep, number) for number in range(30)]
    assert hit
    failed = [outcome.exception() for outcome in outcomes if outcome.exception()]
    assert all(isinstance(exc, ArchiveUnavailable) for exc in failed)
    assert len(failed) < 10


def test_a_child_that_cannot_be_told_anything_is_asked_no_second_time(archive: Archive) -> None:
    archive.blobs.write("file/00/1", [b"x"])
    pipe = remote(archive)._living()._child.stdin
    assert pipe
    pipe.close()
    assert archive.blobs.size("file/00/1") == 1, "before anybody has noticed its end"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nosuch://bucket/prefix", "Protocol not known"),
        ("file:///proc/nowhere", "FileNotFoundError"),
    ],
)
def test_a_store_that_cannot_be_used_is_told(tmp_path: Path, url: str, words: str) -> None:
    archive = opened(url, tmp_path)
    with pytest.raises(ArchiveUnavailable, match=words):
        archive.keep(answer(1), [b"x"])
    assert archive.keep(answer(2))
    remote(archive).close()


@pytest.mark.parametrize("place", ["{}/store", "file://{}/store"])
def test_it_works_where_gevent_has_patched_the_library(tmp_path: Path, place: str) -> None:
    program = f"""
from gevent import monkey
monkey.patch_all()
import gevent
from gateway.archive.archive import Archive
from shared.config import Config
from tests.archives import answer, problems
archive = Archive.open(Config(archive="{place.format(tmp_path)}", archive_index="{tmp_path}/index.db"))
def keep(number):
    kept = archive.keep(answer(number), [bytes(10_000)])
    assert b"".join(archive.read(kept)) == bytes(10_000)
gevent.joinall([gevent.spawn(keep, number) for number in range(40)], raise_error=True)
print(len(list(archive.blobs.walk())), problems(archive))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("40 []\n", "")


def test_a_url_needs_an_index_elsewhere() -> None:
    with pytest.raises(ConfigError, match="INFERQ_ARCHIVE_INDEX"):
        Archive.open(Config(archive="s3://bucket/prefix"))
