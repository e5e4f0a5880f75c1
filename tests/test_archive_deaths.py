"""The archive through the deaths of its writers, and with files that are none of its own."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.archive import mounts, sqlite_file
from gateway.archive.archive import Archive
from gateway.archive.housekeeping import SPARED, Housekeeping
from gateway.archive.sqlite_file import SqliteFile
from gateway.archive.thing import ThingKind
from shared.config import Config
from shared.errors import ArchiveUnavailable
from shared.file_lock import FileLock
from shared.loops import Loops
from tests.archives import age, answer, blobs, connection, ids, problems, stored
from tests.stack import Stack

WRITER = """
import random, sys
from contextlib import suppress
from gateway.archive.archive import Archive
from gateway.archive.thing import ThingKind
from shared.config import Config
from shared.errors import NotStored
from tests.archives import answer

folder, first, count, key_bytes = sys.argv[1], *map(int, sys.argv[2:])
archive = Archive.open(Config(archive=folder, archive_key_bytes=key_bytes))
draw = random.Random(first)
for number in range(first, first + count):
    owner = f"o{number % 2}"
    archive.keep(answer(number, owner, model="m"), [bytes(draw.randrange(100_000))])
    print(number, flush=True)
    if not number % 3:
        with suppress(NotStored):  # it has made room meanwhile
            archive.remove(owner, ThingKind.RESPONSE, answer(number).id)
"""


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.open(Config(archive=str(tmp_path / "a")))


def writer(folder: Path, first: int, count: int, key_bytes: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), str(first), str(count), str(key_bytes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_writers_that_are_killed_lose_nothing_and_leave_the_books_balanced(archive: Archive, tmp_path: Path) -> None:
    draw, acknowledged, hit = random.Random(7), set[int](), 0
    for life in range(5):
        writers = [writer(tmp_path / "a", 10_000 * (2 * life + place), 10_000) for place in range(2)]
        lines: list[str] = []
        for child in writers:
            assert child.stdout
            lines.append(child.stdout.readline())  # it is at work
        time.sleep(draw.random() * 0.2)
        for child, line in zip(writers, lines, strict=True):
            hit += child.poll() is None
            child.send_signal(signal.SIGKILL)
            said = (line + child.communicate()[0]).split()
            acknowledged |= {int(word) for word in said if int(word) % 3}
    assert hit == 10
    there = {int(thing.id[-32:], 16) for thing in archive.index.walk()}
    assert acknowledged
    assert acknowledged <= there
    age(archive, SPARED * 5)
    Housekeeping(archive, Loops()).sweep()
    assert problems(archive) == []
    blobs = {thing.blob for thing in archive.index.walk()}
    assert {name for name in stored(archive) if not name.startswith("index/")} == blobs


def test_many_processes_that_add_at_once_keep_within_the_bounds(archive: Archive, tmp_path: Path) -> None:
    writers = [writer(tmp_path / "a", 1000 * place, 40, 500_000) for place in range(4)]
    for child in writers:
        child.communicate(timeout=60)
    assert [child.returncode for child in writers] == [0] * 4
    for owner in ("o0", "o1"):
        assert 300_000 < archive.index.held(owner).size <= 500_000
    assert problems(archive) == []
    assert len(stored(archive)) == archive.index.held(None).things


def test_another_who_leaves_takes_nothing_along(archive: Archive, tmp_path: Path) -> None:
    """SQLite removes the log of changes with the last who leaves: by locks that must not end before we do."""
    look = f"import sqlite3; db = sqlite3.connect({str(tmp_path / 'a' / 'index.db')!r})"
    look += "; print(*(row[0] for row in db.execute('SELECT id FROM things ORDER BY place'))); db.close()"
    for number in range(3):
        archive.keep(answer(number))
        archive.find("o", ThingKind.RESPONSE, answer(number).id)  # has the file open a second time
        done = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)
        assert done.stdout.split() == [answer(each).id for each in range(number + 1)]
        assert (tmp_path / "a" / "index.db-wal").exists()


def test_a_full_disk_is_told_and_nothing_is_left(archive: Archive, tmp_path: Path) -> None:
    archive.keep(answer(1), [b"x"])
    program = f"""
import resource
from gateway.archive.archive import Archive
from shared.config import Config
from shared.errors import ArchiveUnavailable
from tests.archives import answer
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
archive = Archive.open(Config(archive={str(tmp_path / "a")!r}))
try:
    archive.keep(answer(2), [bytes(50_000)] * 10)
except ArchiveUnavailable as exc:
    print(exc.message)
assert archive.keep(answer(3), [b"y"])
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "File too large" in done.stdout
    assert {thing.id for thing in archive.index.walk()} == {answer(1).id, answer(3).id}
    assert len(stored(archive)) == 2


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")


def newer(path: Path) -> None:
    Archive.open(Config(archive=str(path.parent))).keep(answer(1))
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")


def damaged(path: Path) -> None:
    Archive.open(Config(archive=str(path.parent))).keep(answer(1))
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(path.read_bytes()[:4096] + os.urandom(100_000))


def folder(path: Path) -> None:
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("no database at all " * 99)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (foreign, "no index of inferq"),
        (newer, "version 99"),
        (damaged, "malformed"),
        (text, "not a database"),
        (folder, "unable to open"),
    ],
)
def test_an_index_that_is_none_is_refused_until_it_is_mended(
    archive: Archive, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    (tmp_path / "a").mkdir()
    spoil(tmp_path / "a" / "index.db")
    attempts: list[Callable[[], object]] = [
        lambda: archive.keep(answer(5)),
        lambda: archive.find("o", ThingKind.RESPONSE, answer(1).id),
    ]
    for attempt in attempts:
        with pytest.raises(ArchiveUnavailable, match=words):
            attempt()
    Housekeeping(archive, Loops()).look()  # it tells, and raises nothing
    (tmp_path / "a").rename(tmp_path / "spoilt")
    assert archive.keep(answer(5))
    assert problems(archive) == []


def test_an_index_that_has_gone_is_waited_for(archive: Archive, tmp_path: Path) -> None:
    """Its disk is away, or it was moved: a new one would tell that there is nothing."""
    other = Archive.open(Config(archive=str(tmp_path / "a")))
    archive.keep(answer(1), [b"x"])
    assert ids(other) == [answer(1).id]
    (tmp_path / "a").rename(tmp_path / "away")
    attempts: list[Callable[[], object]] = [
        lambda: archive.keep(answer(2), [b"y"]),
        lambda: ids(archive),
        lambda: ids(other),
    ]
    for attempt in attempts:
        with pytest.raises(ArchiveUnavailable, match="not there any more"):
            attempt()
    assert not (tmp_path / "a").exists()
    (tmp_path / "away").rename(tmp_path / "a")
    assert archive.keep(answer(2), [b"y"])
    assert ids(other) == [answer(2).id, answer(1).id]
    assert problems(archive) == []


def test_blobs_that_are_away_are_not_taken_for_gone(archive: Archive, tmp_path: Path) -> None:
    """What is read is not told to be unknown, what is written lies nowhere else, and what goes leaves its blob."""
    other = Archive.open(Config(archive=str(tmp_path / "a")))
    kept = [archive.keep(answer(number), [b"x"]) for number in range(2)]
    things = [thing for thing in kept if thing]
    assert b"".join(other.read(things[0])) == b"x"
    blobs(archive).rename(tmp_path / "away")
    attempts: list[Callable[[], object]] = [
        lambda: archive.keep(answer(2), [b"y"]),
        lambda: archive.keep(answer(2), [bytes(300_000)]),
        lambda: other.keep(answer(2), [b"y"]),
        lambda: archive.read(things[0]),
        lambda: other.read(things[0]),
        lambda: archive.blobs.size(things[0].blob),
        lambda: archive.blobs.remove(things[1].blob),
        lambda: stored(archive),
    ]
    for attempt in attempts:
        with pytest.raises(ArchiveUnavailable):
            attempt()
    assert not blobs(archive).exists()
    (tmp_path / "away").rename(blobs(archive))
    assert archive.keep(answer(2), [b"y"])
    assert [b"".join(other.read(thing)) for thing in things] == [b"x", b"x"]
    assert problems(archive) == []


def test_one_that_is_stopped_while_it_makes_the_file_stops_no_other(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "_BUSY", 0.1)
    (tmp_path / "a").mkdir()
    with FileLock(tmp_path / "a" / "index.lock"), pytest.raises(ArchiveUnavailable, match="another process holds"):
        archive.keep(answer(1))
    assert archive.keep(answer(1))


def test_a_copy_is_as_safe_as_the_file_was(archive: Archive, tmp_path: Path) -> None:
    """What VACUUM INTO makes has no log: there readers wait for writers, and a commit is undone by a loss of power."""
    archive.keep(answer(1))
    with connection(archive) as db:
        db.execute("VACUUM INTO ?", (str(tmp_path / "copy"),))
        assert sqlite3.connect(tmp_path / "copy").execute("PRAGMA journal_mode").fetchone() == ("delete",)
    archive.index.close()
    (tmp_path / "a" / "index.db-wal").unlink(missing_ok=True)
    (tmp_path / "copy").rename(tmp_path / "a" / "index.db")
    assert ids(archive) == [answer(1).id]
    with connection(archive) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_schema_is_brought_forward_and_never_back(tmp_path: Path) -> None:
    first = ("CREATE TABLE numbers (number INTEGER)", "INSERT INTO numbers VALUES (1)")
    steps = (first, ("ALTER TABLE numbers ADD COLUMN word TEXT DEFAULT 'one'",))
    old, new = (SqliteFile(tmp_path / "db", known) for known in (steps[:1], steps))
    assert old.write(lambda db: db.execute("SELECT * FROM numbers").fetchall()) == [(1,)]
    assert new.write(lambda db: db.execute("SELECT * FROM numbers").fetchall()) == [(1, "one")]
    for way in (old.read, old.write):  # although it has the file open
        with pytest.raises(ArchiveUnavailable, match="version 2, and this release knows 1"):
            way(lambda db: db.execute("SELECT * FROM numbers").fetchall())
    fresh = SqliteFile(tmp_path / "other", steps)
    with ThreadPoolExecutor(4) as pool:  # a first step of many at once
        several = [SqliteFile(tmp_path / "other", steps) for _ in range(4)]
        list(pool.map(lambda each: each._run(lambda db: None, True), several))
    assert fresh.read(lambda db: db.execute("SELECT count(*) FROM numbers").fetchall()) == [(1,)]


def test_a_network_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 254:1 / / rw,relatime - ext4 /dev/vda rw\n"
        f"40 22 0:40 / {tmp_path}/with\\040space rw shared:1 master:2 - nfs4 server:/x rw\n"
        "a line of another kind\n"
    )
    monkeypatch.setattr(mounts, "_TABLE", table)
    assert mounts.network_type(tmp_path / "with space" / "deeper") == "nfs4"
    assert mounts.network_type(tmp_path) == ""


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[Stack]:
    (tmp_path / "archive").mkdir()
    foreign(tmp_path / "archive" / "index.db")
    stack = Stack(tmp_path)
    try:
        stack.start_gateway()
        stack.start_worker()
        yield stack
    finally:
        stack.close()


def test_everything_else_is_served_while_the_index_cannot_be_used(spoilt: Stack) -> None:
    client, http = spoilt.client(), spoilt.http()
    messages = [{"role": "user", "content": "one two"}]
    said = http.post("/v1/chat/completions", json={"model": "echo", "messages": messages}).json()
    assert said["choices"][0]["message"]["content"] == "one two"
    assert http.get("/readyz").status_code == 200
    assert "inferq_archive_up 0.0" in http.get("/metrics").text
    assert client.models.list().data
    (spoilt.directory / "archive").rename(spoilt.directory / "spoilt")
    assert "inferq_archive_up 1.0" in http.get("/metrics").text
