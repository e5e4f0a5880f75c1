"""What an index of the archive promises, of each index there is; see also test_index_model.py."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.archive import index as index_module
from gateway.archive.index import Bounds, Index, NoRoom
from gateway.archive.thing import ANSWERS, Held, ThingKind
from shared.errors import NotStored
from tests.indexes import BEGIN, Clock, in_redis, sqlite, thing, with_blob
from tests.stack import Stack

RESPONSE, CHAT, FILE = ThingKind.RESPONSE, ThingKind.CHAT, ThingKind.FILE
TALK, ITEM = ThingKind.CONVERSATION, ThingKind.ITEM
AMPLE = Bounds(1000, 10**9, 10**9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=("sqlite", "redis"))
def index(request: pytest.FixtureRequest, tmp_path: Path, valkey: Stack, clock: Clock) -> Iterator[Index]:
    made = sqlite(tmp_path, clock) if request.param == "sqlite" else in_redis(valkey, clock)
    yield made
    assert list(made.audit()) == []
    if request.param == "sqlite":
        made.close()


def names(index: Index, owner: str = "ann", kind: ThingKind = RESPONSE, **how: Any) -> list[str]:
    return [each.id for each in index.page(owner, kind, **{"limit": 100, **how}).things]


def test_a_thing_is_there_as_it_was_added(index: Index) -> None:
    facts = {"model": "x", "n": 1, "deep": {"a.b": 'é"\\\x00\n', "list": [1, None, 2.5, "🙂"]}, "": ""}
    whole = with_blob("resp_1", expires=BEGIN + 9, facts=facts)
    assert index.add([whole, thing("odd id: ' \" % * é", owner="ann")])
    assert index.get("ann", RESPONSE, "resp_1") == whole
    assert index.get("ann", RESPONSE, "odd id: ' \" % * é").facts == {}
    assert sorted(each.id for each in index.walk()) == ["odd id: ' \" % * é", "resp_1"]


def test_nothing_is_added_where_the_first_one_is_there(index: Index) -> None:
    assert index.add([thing("a", facts={"first": "yes"})])
    assert not index.add([thing("a", facts={"first": "no"}), thing("b")])
    assert not index.add([thing("a", CHAT, owner="bob")])
    assert names(index) == ["a"]
    assert index.get("ann", RESPONSE, "a").facts == {"first": "yes"}


def test_what_else_is_there_is_passed_over(index: Index) -> None:
    index.add([thing("a", facts={"first": "yes"})])
    index.add([thing("x", owner="bob", facts={"whose": "bob"})])
    assert index.add([thing("b"), thing("a"), thing("x"), thing("c"), thing("c")])
    assert names(index) == ["c", "b", "a"]
    assert index.get("ann", RESPONSE, "a").facts == {"first": "yes"}
    assert index.get("bob", RESPONSE, "x").facts == {"whose": "bob"}
    assert index.held("ann").things == 3


def test_a_part_needs_its_whole(index: Index) -> None:
    index.add([thing("conv_b", TALK, owner="bob")])
    for parent in ("conv_none", "conv_b"):
        with pytest.raises(NotStored, match=parent):
            index.add([thing("other"), thing("msg_1", ITEM, parent=parent)])
    assert index.held("ann") == (0, 0)
    assert index.add([thing("conv_a", TALK), thing("msg_1", ITEM, parent="conv_a")])
    assert index.add([thing("msg_2", ITEM, parent="conv_a")])
    assert names(index, kind=ITEM, parent="conv_a", descending=False) == ["msg_1", "msg_2"]
    assert names(index, kind=ITEM) == names(index, "bob", ITEM, parent="conv_a") == []
    assert index.count("conv_a") == 2
    assert index.count("conv_none") == index.count("msg_1") == 0


def test_another_owner_does_not_see_it(index: Index) -> None:
    mine = thing("a", facts={"x": "y"})
    index.add([mine])
    for owner, kind in (("bob", RESPONSE), ("", RESPONSE), ("ann", CHAT)):
        with pytest.raises(NotStored):
            index.get(owner, kind, "a")
        with pytest.raises(NotStored):
            index.remove(owner, kind, "a")
        with pytest.raises(NotStored):
            index.page(owner, kind, limit=1, after="a")
        assert names(index, owner, kind) == names(index, owner, kind, where={"x": "y"}) == []
        assert index.held(owner, kind) == (0, 0)
    assert index.change(replace(mine, owner="bob"), {}, 0) is None
    assert names(index) == ["a"]


def test_a_change_is_made_to_what_was_read(index: Index) -> None:
    old = with_blob("a", facts={"n": 1})
    index.add([old])
    new = index.change(old, {"n": 2, "more": "text"}, BEGIN + 5)
    assert new == replace(old, facts={"n": 2, "more": "text"}, expires=BEGIN + 5, version=2)
    assert index.get("ann", RESPONSE, "a") == new
    assert index.change(old, {"n": 3}, 0) is None
    assert index.held("ann") == index.held(None, RESPONSE) == (1, new.weight)
    index.remove("ann", RESPONSE, "a")
    assert index.change(new, {}, 0) is None
    assert index.held(None) == (0, 0)


def test_pages_are_in_the_order_of_addition(index: Index) -> None:
    order = [f"r{n}" for n in range(25)]
    index.add([thing(name, created=BEGIN - n) for n, name in enumerate(order[:7])])
    for name in order[7:]:
        index.add([thing(name), thing(f"c-{name}", CHAT), thing(f"b-{name}", owner="bob")])
    assert names(index, descending=False) == order
    assert names(index) == order[::-1]
    for descending, expected in ((True, order[::-1]), (False, order)):
        found, after = list[str](), ""
        while page := index.page("ann", RESPONSE, limit=6, after=after, descending=descending):
            found += [each.id for each in page.things]
            after = found[-1]
            if not page.more:
                break
        assert found == expected
    last = index.page("ann", RESPONSE, limit=25)
    assert (len(last.things), last.more) == (25, False)
    assert names(index, after="r0") == []
    with pytest.raises(NotStored, match="gone"):
        names(index, after="gone")


def test_pages_are_filtered_by_facts(index: Index) -> None:
    odd = ["plain", "a.b", '"', "'", "$", "[0]", "\\", "é🙂", " ", "", "%", "*", "x\ny", "\x00", "a" * 512]
    for n, name in enumerate(odd):
        index.add([thing(f"r{n}", facts={"metadata": {name: f"v{name}"}, "n": 3, "flag": True})])
    index.add([thing("other", facts={"metadata": {"k": "v"}, "metadata.k": "flat", "list": ["v"], "n": "3"})])
    index.add([thing("text", facts={"metadata": "plain", "model": "v"})])
    for n, name in enumerate(odd):
        assert names(index, where={f"metadata.{name}": f"v{name}"}) == [f"r{n}"], name
        assert names(index, where={f"metadata.{name}": f"V{name}"}) == []
    assert names(index, where={"metadata.k": "v"}) == ["other"]
    assert names(index, where={"metadata": "plain"}) == names(index, where={"model": "v"}) == ["text"]
    assert names(index, where={"n": "3"}) == ["other"]
    for where in ({"list": "v"}, {"list.0": "v"}, {"flag": "true"}, {"flag": "1"}, {"none": ""}, {"none": "null"}):
        assert names(index, where=where) == [], where
    both = {"metadata.plain": "vplain", "none": "x"}
    assert names(index, where=both) == []


def test_filtered_pages_go_on_and_follow_changes(index: Index) -> None:
    for n in range(230):
        index.add([thing(f"r{n}", facts={"model": "rare" if n % 50 == 0 else "usual", "word": "rare"})])
    page = index.page("ann", RESPONSE, limit=2, where={"model": "rare"})
    assert ([each.id for each in page.things], page.more) == (["r200", "r150"], True)
    page = index.page("ann", RESPONSE, limit=3, after="r150", where={"model": "rare"})
    assert ([each.id for each in page.things], page.more) == (["r100", "r50", "r0"], False)
    index.change(page.things[0], {"model": "usual"}, 0)
    index.change(index.get("ann", RESPONSE, "r3"), {"model": "rare"}, 0)
    assert names(index, where={"model": "rare"}, descending=False) == ["r0", "r3", "r50", "r150", "r200"]
    index.remove("ann", RESPONSE, "r50")
    assert names(index, where={"model": "rare", "word": "rare"}) == ["r200", "r150", "r0"]


def test_owners_are_known_by_what_they_have(index: Index) -> None:
    for owner in ("carl", "ann", "bob", "", "*a"):
        index.add([with_blob(f"file{owner}", FILE, owner=owner), thing(f"r{owner}", owner=owner)])
    index.remove("bob", FILE, "filebob")
    assert (index.owners(FILE), index.owners(CHAT)) == (["", "*a", "ann", "carl"], [])


def test_parts_go_first(index: Index) -> None:
    parts = [with_blob(f"msg_{n}", ITEM, parent="conv_a") for n in range(130)]
    index.add([thing("conv_a", TALK), thing("conv_b", TALK), with_blob("msg_b", ITEM, parent="conv_b"), *parts])
    index.remove("ann", ITEM, "msg_7")
    gone = index.remove("ann", TALK, "conv_a")
    assert gone[-1] == thing("conv_a", TALK)
    assert sorted(each.id for each in gone[:-1]) == sorted(part.id for part in parts if part.id != "msg_7")
    assert names(index, kind=ITEM, parent="conv_a") == []
    assert names(index, kind=ITEM, parent="conv_b") == ["msg_b"]
    assert index.held("ann") == (2, 2 + 2 + 1000)
    with pytest.raises(NotStored):
        index.remove("ann", TALK, "conv_a")


def test_what_expires_is_gone_from_then_on(index: Index, clock: Clock) -> None:
    index.add([thing("conv", TALK, expires=BEGIN + 10), thing("msg", ITEM, parent="conv"), thing("for ever")])
    index.add([thing(f"r{n}", expires=BEGIN + 10 + n) for n in range(120)])
    index.add([thing("later", expires=BEGIN + 11), thing("sooner", expires=BEGIN + 900)])
    index.change(index.get("ann", RESPONSE, "later"), {}, BEGIN + 900)
    index.change(index.get("ann", RESPONSE, "sooner"), {}, BEGIN + 11)
    assert index.expire(BEGIN + 9, 100) == []
    clock.time = BEGIN + 11
    for name, kind in (("conv", TALK), ("r0", RESPONSE), ("r1", RESPONSE), ("sooner", RESPONSE)):
        with pytest.raises(NotStored):
            index.get("ann", kind, name)
    assert names(index, limit=2, descending=False) == ["for ever", "r2"]
    assert names(index, after="r1", limit=1, descending=False) == ["r2"]
    assert {"r0", "conv"} <= {each.id for each in index.walk()}
    assert not index.add([thing("r0")])  # its id is taken until it is removed
    gone = [each.id for _ in range(6) for each in index.expire(BEGIN + 11, 2)]
    assert sorted(gone) == ["conv", "msg", "r0", "r1", "sooner"]
    assert gone.index("msg") < gone.index("conv")
    clock.time = BEGIN + 800
    assert len(index.expire(BEGIN + 800, 1000)) == 118
    assert names(index) == ["later", "for ever"]


def test_a_list_goes_on_after_what_went(index: Index, clock: Clock) -> None:
    index.add([thing("conv", TALK), *(thing(f"msg_{n}", ITEM, parent="conv") for n in range(4))])
    for n in range(9):
        index.add(
            [thing(f"r{n}", expires=BEGIN + 1 if n == 7 else 0, facts={"model": "x"}), thing(f"b{n}", owner="bob")]
        )
    index.remove("ann", RESPONSE, "r4")
    index.remove("ann", ITEM, "msg_1")
    index.evict("ann", ANSWERS, things=2, size=0, most=2)
    clock.time = BEGIN + 1
    index.expire(clock.time, 10)
    assert names(index, after="r4") == names(index, after="r4", where={"model": "x"}) == ["r3", "r2"]
    assert names(index, after="r4", descending=False) == ["r5", "r6", "r8"]
    assert (names(index, after="r1"), names(index, after="r1", descending=False)[:1]) == ([], ["r2"])
    assert names(index, after="r7")[:1] == ["r6"]
    how: dict[str, Any] = {"kind": ITEM, "parent": "conv", "descending": False}
    assert names(index, **how, after="msg_1") == ["msg_2", "msg_3"]
    for owner, kind, after in (("bob", RESPONSE, "r4"), ("ann", CHAT, "r4"), ("ann", RESPONSE, "msg_1")):
        with pytest.raises(NotStored):
            names(index, owner, kind, after=after)
    for look in (lambda: index.get("ann", RESPONSE, "r4"), lambda: index.remove("ann", RESPONSE, "r4")):
        with pytest.raises(NotStored):
            look()
    assert "r4" not in {each.id for each in index.walk()}
    index.add([thing("r4")])
    assert names(index, after="r4") == ["r8", "r6", "r5", "r3", "r2"]


def test_what_is_remembered_has_bounds(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("MOST_REMEMBERED", 6), ("MOST_REMEMBERED_OF_ALL", 12)):
        monkeypatch.setattr(index_module, name, most)
    for n in range(9):
        index.add([thing(f"r{n}"), thing(f"b{n}", owner="bob")])
    index.remove("bob", RESPONSE, "b0")
    for n in range(9):
        index.remove("ann", RESPONSE, f"r{n}")
    assert names(index, "bob", after="b0", descending=False, limit=1) == ["b1"]  # another's push out none of his
    assert names(index, after="r8") == names(index, after="r6") == []
    for after in ("r0", "r1", "r2"):
        with pytest.raises(NotStored):
            names(index, after=after)
    for owner in ("carl", "dora"):
        index.add([thing(f"{owner}{n}", owner=owner) for n in range(6)])
        for n in range(6):
            index.remove(owner, RESPONSE, f"{owner}{n}")
    assert names(index, "dora", after="dora5") == []
    with pytest.raises(NotStored):
        names(index, "bob", after="b0")


def test_an_expired_one_can_be_removed(index: Index) -> None:
    index.add([thing("a", expires=BEGIN - 1)])
    assert [each.id for each in index.remove("ann", RESPONSE, "a")] == ["a"]
    assert index.expire(BEGIN, 10) == []


def test_the_first_ones_make_room(index: Index) -> None:
    for n in range(6):
        index.add([with_blob(f"r{n}"), with_blob(f"c{n}", CHAT), with_blob(f"f{n}", FILE)])
        index.add([with_blob(f"b{n}", owner="bob", size=1700)])

    def gone(owner: str | None, **wanted: int) -> list[str]:
        return [each.id for each in index.evict(owner, ANSWERS, **{"things": 0, "size": 0, "most": 100, **wanted})]

    assert gone("ann", things=3) == ["r0", "c0", "r1"]
    assert gone("ann", size=1500) == ["c1", "r2"]
    assert gone("ann") == ["c2"]
    assert gone("ann", things=9, most=2) == ["r3", "c3"]
    assert gone(None, size=1) == ["b0"]  # ann has 4 answers and 6 files of 1000, bob 6 answers of 1700
    assert gone(None, size=1000) == ["r4"]
    assert gone("nobody", things=1) == []
    assert gone("ann", things=100) == ["c4", "r5", "c5"]
    assert gone(None, things=100) == ["b1", "b2", "b3", "b4", "b5"]
    assert gone(None, things=100) == []
    assert names(index, kind=FILE, descending=False) == [f"f{n}" for n in range(6)]


def test_nothing_is_added_beyond_its_bounds(index: Index) -> None:
    def lack(*things: str, owner: str = "ann", bounds: Bounds = AMPLE) -> tuple[str | None, int, int]:
        with pytest.raises(NoRoom) as found:
            index.add([with_blob(name, owner=owner) for name in things], bounds)
        return found.value.owner, found.value.things, found.value.size

    assert index.add([with_blob("a"), with_blob("b")], Bounds(2, 2004, 2004))
    assert lack("c", "d", bounds=Bounds(3, 10**9, 10**9)) == ("ann", 1, 0)
    assert lack("c", bounds=Bounds(3, 3000, 10)) == ("ann", 0, 6)
    assert lack("c", bounds=Bounds(2, 3000, 10)) == ("ann", 1, 6)
    assert lack("c", owner="bob", bounds=Bounds(1, 1002, 3000)) == (None, 0, 6)
    assert index.add([with_blob("c", owner="bob")], Bounds(1, 1002, 3006))
    assert not index.add([with_blob("a")], Bounds(0, 0, 0))
    assert index.held(None) == (3, 3006)
    assert index.held("ann") == index.held("ann", RESPONSE) == Held(2, 2004)


def test_blobs_are_named_whoever_has_them(index: Index) -> None:
    index.add([with_blob("a", expires=BEGIN - 1), thing("none")])
    index.add([with_blob("b", FILE, owner="bob")])
    assert index.blobs(["a", "b", "none", "gone"]) == {"response/a/a.0123abcd", "file/b/b.0123abcd"}
    assert index.blobs([]) == set()


def test_turns_are_taken_by_one(index: Index, pool: ThreadPoolExecutor) -> None:
    assert sorted(pool.map(lambda _: index.take_turn("sweep", 60), range(8))) == [False] * 7 + [True]
    assert index.take_turn("expire", 60)


def test_who_it_is_stays(index: Index) -> None:
    index.add([thing("a")])
    assert index.identity() == index.identity() != ""
