"""The archive: what is kept is there, whole, within its bounds, and what went leaves nothing."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from msgspec.structs import replace

from gateway.archive.archive import Archive
from gateway.archive.audit import audit_archive
from gateway.archive.housekeeping import SPARED, Housekeeping
from gateway.archive.sqlite_audit import find
from gateway.archive.thing import Thing, ThingKind
from shared.config import Config
from shared.errors import ArchiveDamaged, ArchiveUnavailable, NotStored
from shared.loops import Loops
from tests.archives import age, answer, blobs, connection, file, problems, stored


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.open(Config(archive=str(tmp_path / "a")))


def test_nothing_is_made_before_something_is_stored(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(NotStored):
        archive.find("o", ThingKind.FILE, "file-1")
    assert archive.page("o", ThingKind.FILE, limit=5).things == []
    assert problems(archive) == []
    assert list(tmp_path.iterdir()) == []
    archive.keep(answer(1), [b"x"])
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "a").rglob("*")}
    assert modes == {0o700, 0o600}
    assert {path.stat().st_mode & 0o077 for path in tmp_path.rglob("*")} == {0}


def test_who_leaves_takes_nothing_along(archive: Archive) -> None:
    """A process that closes the index as its last user removes the log of changes, which the others still write to."""
    look = "db = sqlite3.connect(sys.argv[1]); print(db.execute('SELECT id FROM things').fetchall()); db.close()"
    command = [sys.executable, "-c", f"import sqlite3, sys; {look}", str(blobs(archive).parent / "index.db")]
    for number in range(3):
        archive.keep(answer(number), [b"x"])
        assert archive.holds("o", ThingKind.RESPONSE, answer(number).id)  # by a connection of its own
        other = subprocess.run(command, capture_output=True, text=True, check=True)
        assert other.stdout == f"{[(answer(known).id,) for known in range(number + 1)]}\n"


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 300_000])
def test_any_part_of_it_is_read(archive: Archive, size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    kept = archive.keep(answer(1), [content[:7], b"", content[7:]])
    assert kept
    assert (kept.size, b"".join(archive.read(kept))) == (size, content)
    for start, end in ((0, 1), (size - 1, None), (65_530, 65_540), (65_536, 131_072), (5, 5), (size, size + 9)):
        assert b"".join(archive.read(kept, start, end)) == content[start:end]


def test_what_is_altered_is_never_read(archive: Archive) -> None:
    content = bytes(200_000)
    kept = [archive.keep(answer(number), [content]) for number in range(4)]
    paths = [blobs(archive) / thing.blob for thing in kept if thing]
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[:150_000] + b"\1" + whole[150_001:])
    paths[1].write_bytes(whole[:-9])
    paths[2].write_bytes(paths[3].read_bytes())  # another's
    for thing in kept[:3]:
        assert thing
        with pytest.raises(ArchiveDamaged):
            b"".join(archive.read(thing))
    assert kept[0]
    assert b"".join(archive.read(kept[0], 0, 100_000)) == content[:100_000]  # what is whole there
    assert [finding.subject for finding in audit_archive(archive).findings] == [answer(1).id]
    found = audit_archive(archive, contents=True).findings
    assert [finding.subject for finding in found] == [answer(number).id for number in range(3)]


def test_what_fails_on_its_way_leaves_nothing(archive: Archive) -> None:
    archive.keep(answer(1), [b"x"])
    before = stored(archive)

    def breaks() -> Iterator[bytes]:
        yield bytes(300_000)
        raise ConnectionResetError("the client left")

    def refuse(thing: Thing) -> Thing:
        raise ValueError(thing.id)

    with pytest.raises(ConnectionResetError):
        archive.keep(answer(2), breaks())
    with pytest.raises(ValueError, match="resp_"):
        archive.keep(answer(2), [b"y"], finish=refuse)
    with pytest.raises(NotStored):
        archive.keep(replace(answer(2), kind=ThingKind.ITEM, parent="conv_gone"), [b"y"])
    assert archive.keep(answer(1), [b"another"]) is None
    assert b"".join(archive.read(archive.find("o", ThingKind.RESPONSE, answer(1).id))) == b"x"
    assert stored(archive) == before
    assert problems(archive) == []


def test_who_tries_again_leaves_one_blob(archive: Archive) -> None:
    archive.keep(answer(1))
    with connection(archive) as db:
        db.execute("CREATE TRIGGER refuse BEFORE INSERT ON things BEGIN SELECT raise(ABORT, 'the disk is full'); END")
    for _ in range(3):
        with pytest.raises(ArchiveUnavailable, match="the disk is full"):
            archive.keep(answer(2), [b"x"])
    before = stored(archive)
    assert len(before) == 1
    with connection(archive) as db:
        db.execute("DROP TRIGGER refuse")
    assert archive.keep(answer(2), [b"x"])
    assert stored(archive) == before
    assert problems(archive) == []


def test_it_is_not_held_in_memory(archive: Archive) -> None:
    archive.keep(answer(1), [bytes(1000)])
    tracemalloc.start()
    try:
        kept = archive.keep(file(1), (bytes(100_000) for _ in range(400)))
        assert kept
        assert sum(map(len, archive.read(kept))) == 40_000_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_a_disk_keeps_nobody_else_waiting(archive: Archive) -> None:
    archive.keep(answer(1))
    other = connection(archive)
    other.execute("BEGIN IMMEDIATE")
    ticks: list[str] = []

    def tick() -> None:
        for _ in range(5):
            gevent.sleep(0.01)
            ticks.append("tick")
        ticks.append(archive.find("o", ThingKind.RESPONSE, answer(1).id).id)  # who reads waits for nobody
        other.execute("COMMIT")

    ticking = gevent.spawn(tick)
    archive.keep(answer(2))
    ticking.get()
    assert ticks == ["tick"] * 5 + [answer(1).id]


def test_what_has_expired_and_what_nothing_names_goes(archive: Archive) -> None:
    now = 1_000_000.0
    housekeeping = Housekeeping(archive, Loops(), lambda: now)
    gone: dict[str, int] = {}
    archive.on_removal = lambda reason, count: gone.update({reason: gone.get(reason, 0) + count})
    for number in range(250):
        archive.index.add([replace(answer(number), expires=10 + number)])
    archive.keep(answer(300), [b"x"])
    archive.write(answer(301), [b"nobody keeps it"])
    housekeeping.look()
    assert gone == {"expired": 250}
    assert problems(archive) == []
    lost = archive.write(answer(302), [b"nobody keeps it"])
    age(archive, SPARED * 5, now)
    fresh = archive.write(answer(303), [b"it may yet be kept"])
    found = [finding.subject for finding in audit_archive(archive).findings]
    assert lost.blob in found
    assert fresh.blob not in found
    assert housekeeping.sweep() == 2
    assert gone == {"expired": 250, "swept": 2}
    assert problems(archive) == []
    assert b"".join(archive.read(archive.find("o", ThingKind.RESPONSE, answer(300).id))) == b"x"


def test_blobs_of_another_index_are_never_swept(archive: Archive, tmp_path: Path) -> None:
    housekeeping = Housekeeping(archive, Loops())
    archive.keep(answer(1), [b"x"])
    assert housekeeping.sweep() == 0
    archive.index.close()
    for path in (tmp_path / "a").glob("index.db*"):
        path.unlink()
    archive.keep(answer(2), [b"y"])
    age(archive, SPARED * 5)
    before = stored(archive)
    assert housekeeping.sweep() == 0
    assert stored(archive) == before
    assert "belong to another index" in problems(archive)[0]


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("DELETE FROM counts WHERE owner = '*'", "are counted for all"),
        ("UPDATE counts SET size = size + 7 WHERE owner = 'o'", "bytes of kind response are counted for o"),
        ("UPDATE things SET parent = 'conv_gone' WHERE id LIKE '%2'", "is a part of conv_gone"),
        ("DROP TRIGGER gone; DELETE FROM things WHERE id LIKE '%2'", "labels are of things that are not there"),
        ("UPDATE things SET expires = 5 WHERE id LIKE '%2'", "has expired, and is still there"),
        ("UPDATE things SET blob = 'response/02/gone' WHERE id LIKE '%2'", "its blob response/02/gone is not there"),
    ],
)
def test_an_audit_names_what_does_not_balance(archive: Archive, damage: str, finding: str) -> None:
    for number in (1, 2):
        archive.keep(answer(number, model="m"), [b"x"])
    with connection(archive) as db:
        assert find(db) == []
        db.executescript(damage)
    assert any(finding in problem for problem in problems(archive)), problems(archive)


def test_lists_follow_what_is_changed(archive: Archive) -> None:
    for number in range(20):
        metadata = {"colour": "red" if number % 2 else "blue", "a.b": "c", "long": "x" * 600}
        archive.keep(answer(number, model="m", metadata=metadata))

    def listed(**how: Any) -> list[int]:
        return [int(thing.id[-2:], 16) for thing in archive.page("o", ThingKind.RESPONSE, limit=4, **how).things]

    red = {"metadata.colour": "red", "model": "m"}
    assert listed(where=red) == [19, 17, 15, 13]
    assert listed(where=red, after=answer(13).id) == [11, 9, 7, 5]
    assert listed(where=red, after=answer(8).id, descending=False) == [9, 11, 13, 15]
    assert listed(where={"metadata.a.b": "c", "metadata.long": "x" * 600}) == [19, 18, 17, 16]
    assert listed(where={"model": "n"}) == []
    archive.change("o", ThingKind.RESPONSE, answer(17).id, lambda facts: {**facts, "metadata": {"colour": "green"}})
    assert listed(where=red) == [19, 15, 13, 11]
    assert listed(where={"metadata.colour": "green"}) == [17]
    assert problems(archive) == []
