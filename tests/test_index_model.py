"""Whatever is done to an index of the archive, in whatever order: both do what a plain dictionary would."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from operator import methodcaller
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from gateway.archive import scripts
from gateway.archive.index import Bounds, Index, NoRoom
from gateway.archive.thing import ANSWERS, Thing, ThingKind
from shared.errors import NotStored
from tests.indexes import BEGIN, Clock, PlainIndex, in_redis, sqlite
from tests.stack import Stack

EXAMPLES = 6

OWNERS = st.sampled_from(["", "ann", "ann:b", "b"])
IDS = st.sampled_from([f"id_{n}" for n in range(40)] + [f"conv:{n}" for n in range(4)])
WHOLES = st.sampled_from([f"conv:{n}" for n in range(4)])
KINDS = st.sampled_from([ThingKind.RESPONSE, ThingKind.CHAT, ThingKind.FILE])
TEXTS = st.sampled_from(["x", "y", "a.b", '"', "é🙂", ""])
FACTS = st.dictionaries(TEXTS, TEXTS | st.integers(0, 3) | st.dictionaries(TEXTS, TEXTS, max_size=2), max_size=3)
WHERE = st.none() | st.dictionaries(st.sampled_from(["x", "x.y", 'x."', '".a.b', "é🙂", "", "y."]), TEXTS, max_size=2)
EXPIRES = st.just(0) | st.integers(BEGIN, BEGIN + 40)
FIELDS = {"expires": EXPIRES, "facts": FACTS, "size": st.sampled_from([0, 10, 1000])}
SINGLE = st.fixed_dictionaries({**FIELDS, "id": IDS, "kind": KINDS})
WHOLE = st.fixed_dictionaries({**FIELDS, "id": WHOLES, "kind": st.just(ThingKind.CONVERSATION)})
PART = st.fixed_dictionaries({**FIELDS, "id": IDS, "kind": st.just(ThingKind.ITEM), "parent": WHOLES})
ADDED = st.lists(SINGLE | WHOLE | PART, min_size=1, max_size=8)
BOUNDS = st.none() | st.builds(Bounds, st.integers(0, 15), st.sampled_from([500, 5000]), st.sampled_from([3000, 10**6]))


class Machine(RuleBasedStateMachine):
    """Does the same to both and to the plain one, and compares what they say."""

    valkey: ClassVar[Stack]
    done: ClassVar[dict[str, int]]

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.folder = Path(tempfile.mkdtemp(prefix="index-"))
        self.plain = PlainIndex(self.clock)
        self.unclear = set[str]()
        """Parts that were due with their whole: an index may have removed them by themselves, before it."""
        self.indexes = [sqlite(self.folder, self.clock), in_redis(self.valkey, self.clock)]

    def teardown(self) -> None:
        for index in self.indexes:
            assert list(index.audit()) == []
        self.indexes[0].close()
        shutil.rmtree(self.folder)

    def same(self, work: Callable[[Any], Any]) -> Any:
        expected = _outcome(work, self.plain)
        for index in self.indexes:
            assert _outcome(work, index) == expected
        return expected

    @rule(owner=OWNERS, fields=ADDED, bounds=BOUNDS)
    def add(self, owner: str, fields: list[dict[str, Any]], bounds: Bounds | None) -> None:
        things = [_thing(owner, **each) for each in fields]
        outcome = self.same(lambda index: index.add(things, bounds))
        self.done[str(outcome)[:6]] = self.done.get(str(outcome)[:6], 0) + 1

    @rule(owner=OWNERS, thing_id=IDS | WHOLES, facts=FACTS, expires=EXPIRES, late=st.booleans())
    def change(self, owner: str, thing_id: str, facts: dict[str, Any], expires: int, late: bool) -> None:
        if old := self.plain.things.get(thing_id):
            old = replace(old, version=old.version - late)
            self.same(lambda index: index.change(old, facts, expires))

    @rule(owner=OWNERS, thing_id=IDS | WHOLES, kind=st.sampled_from(ThingKind))
    def get(self, owner: str, thing_id: str, kind: ThingKind) -> None:
        known = self.plain.things.get(thing_id)
        self.same(lambda index: index.get(owner, kind, thing_id))
        self.same(lambda index: index.get(owner, known.kind if known else kind, thing_id))

    @rule(
        owner=OWNERS,
        kind=KINDS | st.just(ThingKind.ITEM),
        parent=WHOLES,
        after=st.just("") | IDS,
        limit=st.integers(1, 9),
        descending=st.booleans(),
        where=WHERE,
    )
    def page(self, owner: str, kind: ThingKind, parent: str, **how: Any) -> None:
        of = parent if kind is ThingKind.ITEM else ""
        if kind is ThingKind.ITEM and how["after"] in self.unclear:
            return
        self.same(lambda index: index.page(owner, kind, parent=of, **how))

    @rule(thing_id=IDS | WHOLES, owner=OWNERS, own=st.booleans())
    def remove(self, thing_id: str, owner: str, own: bool) -> None:
        known = self.plain.things.get(thing_id)
        whose = known.owner if known and own else owner
        kind = known.kind if known else ThingKind.RESPONSE
        self.same(lambda index: sorted(index.remove(whose, kind, thing_id), key=lambda thing: thing.id))

    @rule(seconds=st.integers(1, 12), most=st.integers(1, 4), first=st.sampled_from([0, 1]))
    def expire(self, seconds: int, most: int, first: int) -> None:
        """One of them chooses which of those that are due go before others."""
        self.clock.time += seconds
        while due := self.plain.due(self.clock.time):
            gone = self.indexes[first].expire(self.clock.time, most)
            wholes = {thing.id for thing in gone} & due
            assert wholes
            assert len([thing for thing in gone if thing.id in due and thing.parent not in wholes]) <= most
            for thing in gone:
                assert thing.id in due or thing.parent in wholes
                assert self.plain.things[thing.id] == thing
                if thing.parent not in wholes:
                    self.plain.remove(thing.owner, thing.kind, thing.id)
                    self.indexes[1 - first].remove(thing.owner, thing.kind, thing.id)
                elif thing.id in due:
                    self.unclear.add(thing.id)
            assert not [each for each in self.plain.things.values() if each.parent in wholes]

    @rule(owner=OWNERS | st.none(), things=st.integers(0, 4), size=st.sampled_from([0, 900, 2500]))
    def evict(self, owner: str | None, things: int, size: int) -> None:
        index, other = self.indexes
        gone = index.evict(owner, ANSWERS, things=things, size=size, most=5)
        if gone:
            whose = gone[0].owner
            had = {name: self.plain.held(name) for name in {each.owner for each in self.plain.things.values()}}
            able = [name for name in had if self.plain.first(name, ANSWERS)]
            assert whose == owner or (owner is None and had[whose].size == max(had[name].size for name in able))
            expected = []
            while thing := self.plain.first(whose, ANSWERS):
                expected += self.plain.remove(whose, thing.kind, thing.id)
                left = things - len(expected), size - sum(each.weight for each in expected), 5 - len(expected)
                if (left[0] <= 0 and left[1] <= 0) or left[2] <= 0:
                    break
            assert gone == expected == other.evict(whose, ANSWERS, things=things, size=size, most=5)
        else:
            assert not other.evict(owner, ANSWERS, things=things, size=size, most=5)

    @invariant()
    def books(self) -> None:
        for owner, kind in (
            (None, None),
            (None, ThingKind.ITEM),
            ("", None),
            ("ann", ThingKind.RESPONSE),
            ("ann:b", None),
        ):
            self.same(methodcaller("held", owner, kind))
        for kind in ThingKind:
            self.same(methodcaller("owners", kind))
        self.same(lambda index: index.count("conv:1"))
        self.same(lambda index: index.blobs(["id_1", "id_2", "conv:1", "none"]))
        for index in self.indexes:
            assert {thing.id: thing for thing in index.walk()} == self.plain.things


def _thing(owner: str, **fields: Any) -> Thing:
    blob = f"{fields['kind']}/00/{fields['id']}.{owner or 'x'}" if fields["size"] else ""
    return Thing(owner=owner, created=BEGIN, blob=blob, **fields)


def _outcome(work: Callable[[Any], Any], index: Index | PlainIndex) -> Any:
    try:
        return work(index)
    except NotStored as exc:
        return f"not stored: {exc.message}"
    except NoRoom as exc:
        return f"no room: {exc.owner} {exc.things} {exc.size}"


@pytest.fixture
def small_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that lists have many leaves, and pages are read in many steps."""
    text = scripts.text

    def small(name: str) -> str:
        made = text(name)
        assert "local FULL = 100" in made
        return made.replace("local FULL = 100", "local FULL = 3").replace("local LEAVES = 10", "local LEAVES = 2")

    monkeypatch.setattr(scripts, "text", small)


def test_both_are_as_a_dictionary(valkey: Stack, small_leaves: None) -> None:
    Machine.valkey, Machine.done = valkey, {}
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
        ),
    )
    assert Machine.done.keys() >= {"True", "False", "not st"}
