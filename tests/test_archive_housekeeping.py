"""What the archive does by itself, and what an audit finds of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.archive import housekeeping
from gateway.archive.archive import Archive
from gateway.archive.audit import audit_archive
from gateway.archive.housekeeping import SPARED, Housekeeping
from gateway.archive.sqlite_audit import find
from gateway.archive.thing import ThingKind
from shared.config import Config
from shared.loops import Loops
from tests.archives import age, answer, blobs, connection, problems, stored


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.open(Config(archive=str(tmp_path / "a")))


def test_what_has_expired_and_what_nothing_names_goes(archive: Archive) -> None:
    now = 1_000_000.0
    at_work = Housekeeping(archive, Loops(), lambda: now)
    gone: dict[str, int] = {}
    archive.on_removal = lambda reason, count: gone.update({reason: gone.get(reason, 0) + count})
    for number in range(250):
        archive.index.add([replace(answer(number), expires=10 + number)])
    archive.keep(answer(300), [b"x"])
    archive.write(answer(301), [b"nobody keeps it"])
    (blobs(archive) / ".DS_Store").touch()  # what others leave there is left alone
    (blobs(archive) / "response/00/folder").mkdir(parents=True)
    at_work.look()
    assert gone == {"expired": 250}
    assert problems(archive) == []
    lost = archive.write(answer(302), [b"nobody keeps it"])
    age(archive, SPARED * 5, now)
    fresh = archive.write(answer(303), [b"it may yet be kept"])
    found = [finding.subject for finding in audit_archive(archive).findings]
    assert lost.blob in found
    assert fresh.blob not in found
    assert at_work.sweep() == 2
    assert gone == {"expired": 250, "swept": 2}
    assert problems(archive) == []
    assert b"".join(archive.read(archive.find("o", ThingKind.RESPONSE, answer(300).id))) == b"x"


def test_blobs_of_another_index_are_never_swept(archive: Archive, tmp_path: Path) -> None:
    archive.keep(answer(1), [b"x"])
    assert Housekeeping(archive, Loops()).sweep() == 0
    archive.index.close()
    for path in (tmp_path / "a").glob("index.db*"):
        path.unlink()
    other = Archive.open(Config(archive=str(tmp_path / "a")))
    other.keep(answer(2), [b"y"])
    age(other, SPARED * 5)
    before = stored(other)
    assert Housekeeping(other, Loops()).sweep() == 0
    assert stored(other) == before
    assert "belong to another index" in problems(other)[0]


def test_an_audit_goes_on_behind_what_cannot_be_read(archive: Archive) -> None:
    for number in (1, 2):
        archive.keep(answer(number), [bytes(4092)])
        damaged = blobs(archive) / archive.find("o", ThingKind.RESPONSE, answer(number).id).blob
        damaged.unlink()
        damaged.mkdir()  # which has the size of a blob, where a folder has 4096 bytes
    assert [answer(number).id in problem for number, problem in enumerate(problems(archive), 1)] == [True, True]


def test_a_clock_that_is_put_forward_takes_nothing_along(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1_000_000.0
    up = 5.0
    monkeypatch.setattr(housekeeping, "_uptime", lambda: up)
    at_work = Housekeeping(archive, Loops(), lambda: clock)
    archive.index.add([replace(answer(1), expires=int(clock) + 3600)])
    archive.write(answer(2), [b"it may yet be kept"])
    age(archive, 0, clock)
    before = stored(archive)

    def look(later: float, jump: float = 0) -> bool:
        nonlocal clock, up
        clock, up = clock + later + jump, up + later
        at_work.look()
        return archive.index.held("o").things == 1 and stored(archive) >= before

    assert look(10)
    assert look(10, 30 * 86_400)
    assert look(housekeeping.DOUBT - 20)
    assert look(10, -30 * 86_400)
    assert not look(20)  # its hour is over by now


def test_two_indexes_in_one_place_keep_what_the_other_has(tmp_path: Path) -> None:
    """Such as those of two Redis with one bucket."""
    one, two = (Archive.open(Config(archive=str(tmp_path / "a"), archive_index=str(tmp_path / name))) for name in "12")
    one.keep(answer(1), [b"x"])
    two.keep(answer(2), [b"y"])
    two.keep(answer(4), [b"y"])
    lost = one.write(answer(3), [b"nobody keeps it"])
    age(one, SPARED * 5)
    assert Housekeeping(one, Loops()).sweep() == 1
    assert lost.blob not in stored(one)
    assert Housekeeping(two, Loops()).sweep() == 0
    for number in (2, 4):
        assert b"".join(two.read(two.find("o", ThingKind.RESPONSE, answer(number).id))) == b"y"
    assert problems(one) == []


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
