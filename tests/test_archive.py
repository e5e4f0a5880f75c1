"""The archive: what is kept is there, whole, within its bounds, and what went leaves nothing."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gevent
import pytest
from msgspec.structs import replace

from gateway.archive.archive import Archive
from gateway.archive.audit import audit_archive
from gateway.archive.index import Bounds
from gateway.archive.thing import Thing, ThingKind
from gateway.conversation_items import write_all
from shared.config import Config
from shared.errors import ArchiveDamaged, ArchiveFull, ArchiveUnavailable, NotStored
from tests.archives import answer, blobs, connection, file, problems, stored


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
    with pytest.raises(ConnectionResetError):
        archive.keep(answer(2), breaks(), also=[archive.write(answer(3), [b"beside it"])])
    with pytest.raises(ValueError, match="resp_"):
        archive.keep(answer(2), [b"y"], finish=refuse)
    with pytest.raises(NotStored):
        archive.keep(replace(answer(2), kind=ThingKind.ITEM, parent="conv_gone"), [b"y"])
    assert archive.keep(answer(1), [b"another"]) is None
    assert b"".join(archive.read(archive.find("o", ThingKind.RESPONSE, answer(1).id))) == b"x"
    assert stored(archive) == before
    assert problems(archive) == []


def test_items_that_are_not_all_written_leave_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    archive = Archive.open(Config(archive=str(tmp_path / "a"), archive_key_bytes=100_000))
    parts = [
        (replace(answer(number), kind=ThingKind.ITEM), bytes(size)) for number, size in enumerate((1, 200_000, 2, 3))
    ]
    with pytest.raises(ArchiveFull):
        write_all(archive, parts)
    assert not stored(archive)
    assert capfd.readouterr().err == ""  # nobody has left it to gevent to tell


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


def test_who_tries_again_spoils_nothing_that_was_added(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index has added it, and could not say so; what is tried again is of another length."""
    add = archive.index.add

    def lose_the_answer(things: Sequence[Thing], bounds: Bounds | None = None) -> bool:
        assert add(things, bounds)
        raise ArchiveUnavailable("it has not answered")

    monkeypatch.setattr(archive.index, "add", lose_the_answer)
    with pytest.raises(ArchiveUnavailable):
        archive.keep(answer(1), [b"the first"])
    monkeypatch.undo()
    assert archive.keep(answer(1), [b"another one, and longer"]) is None
    assert b"".join(archive.read(archive.find("o", ThingKind.RESPONSE, answer(1).id))) == b"the first"
    assert len(stored(archive)) == 1
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
