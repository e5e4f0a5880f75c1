"""How much may be stored: the oldest answers make room, and nothing that was promised goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.archive.thing import Thing, ThingKind
from shared.errors import ArchiveFull
from tests.archives import answer, bounded, file, ids, problems, stored


def test_the_keys_own_oldest_answers_make_room(tmp_path: Path) -> None:
    archive = bounded(tmp_path, archive_key_bytes=100_000)
    gone: list[tuple[str, int]] = []
    archive.on_removal = lambda reason, count: gone.append((reason, count))
    archive.keep(answer(99, "p"), [bytes(60_000)])
    archive.keep(file(1), [bytes(30_000)])
    for number in range(5):
        assert archive.keep(answer(number), [bytes(20_000)])
    assert ids(archive) == [answer(number).id for number in (4, 3, 2)]
    assert archive.keep(file(2), [bytes(50_000)])
    assert ids(archive) == []
    assert gone == [("made_room", 1), ("made_room", 1), ("made_room", 3)]
    assert archive.keep(answer(6), [bytes(10_000)])
    with pytest.raises(ArchiveFull, match="INFERQ_ARCHIVE_KEY_BYTES"):  # not even without the answer
        archive.keep(file(3), [bytes(30_000)])
    with pytest.raises(ArchiveFull, match="INFERQ_ARCHIVE_KEY_BYTES"):
        archive.check_room("o", 30_000)
    assert ids(archive) == [answer(6).id], "nothing goes in vain"
    assert ids(archive, "p") == [answer(99).id]
    assert problems(archive) == []


def test_things_are_bounded_as_bytes_are(tmp_path: Path) -> None:
    archive = bounded(tmp_path, archive_key_things=3)
    conversation = Thing("conv_1", ThingKind.CONVERSATION, "o", 1)
    items = [Thing(f"item_{n}", ThingKind.ITEM, "o", 1, parent="conv_1") for n in range(3)]
    for number in range(4):
        archive.keep(answer(number))
    assert ids(archive) == [answer(number).id for number in (3, 2, 1)]
    assert archive.keep(conversation, also=items[:1])
    assert ids(archive) == [answer(3).id]
    with pytest.raises(ArchiveFull):
        archive.keep(items[1], also=[*items[2:], answer(7)])
    assert archive.keep(items[1])
    with pytest.raises(ArchiveFull, match="INFERQ_ARCHIVE_KEY_THINGS"):
        archive.keep(answer(8))
    with pytest.raises(ArchiveFull, match="INFERQ_ARCHIVE_KEY_THINGS"):
        archive.check_room("o")
    assert archive.index.count("conv_1") == 2
    archive.remove("o", ThingKind.CONVERSATION, "conv_1")
    assert archive.index.held(None) == (0, 0)
    assert problems(archive) == []


def test_who_fills_the_store_fills_his_own_part(tmp_path: Path) -> None:
    archive = bounded(tmp_path, archive_bytes=100_000, archive_key_bytes=90_000)
    archive.keep(answer(1, "small"), [bytes(9_000)])
    for number in range(10, 19):
        archive.keep(answer(number, "large"), [bytes(10_000)])
    archive.keep(answer(2, "small"), [bytes(20_000)])
    assert ids(archive, "small") == [answer(2).id, answer(1).id]
    assert len(ids(archive, "large")) == 7
    archive.keep(replace(file(1), owner="large"), [bytes(50_000)])
    archive.keep(replace(file(2), owner="small"), [bytes(15_000)])
    assert not ids(archive, "large")
    with pytest.raises(ArchiveFull, match=r"INFERQ_ARCHIVE_BYTES|does not make room"):
        archive.keep(replace(file(3), owner="third"), [bytes(60_000)])
    assert len(ids(archive, "small")) == 2
    assert problems(archive) == []


def test_what_comes_in_is_counted_as_it_comes(tmp_path: Path) -> None:
    archive = bounded(tmp_path, archive_key_bytes=1_000_000)
    archive.keep(answer(1), [b"x"])
    asked = 0

    def endless() -> Iterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield bytes(100_000)

    def second() -> Iterator[bytes]:
        yield bytes(600_000)
        with pytest.raises(ArchiveFull):  # the two together are too much
            archive.keep(file(2), [bytes(600_000)])

    with pytest.raises(ArchiveFull):
        archive.keep(file(1), endless())
    assert asked == 11
    assert archive.keep(file(3), second())
    assert ids(archive) == [answer(1).id]
    assert len(stored(archive)) == 2
