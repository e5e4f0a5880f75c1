"""Who is loaded and who makes room, of models that are asked for on demand: inferq/agent/plan.py."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest

from inferq.agent.plan import Applicant, HouseRules, Moves, Occupant, decide
from shared.catalogue.lasting import ALWAYS

RULES = HouseRules(budget=2, residence=5, turn=30)
NOW = 1000.0
WAITS = Applicant("new", 1, NOW - 1)


def occupant(number: int, **said: object) -> Occupant:
    usual = Occupant(number, f"m{number}", 1, NOW - 100, NOW - 50, busy=False, keep=600, leaving=False)
    return replace(usual, **said)  # type: ignore[arg-type]  # what tests say


def plan(*occupants: Occupant, waits: Iterable[Applicant] = (WAITS,), busy: bool = False) -> Moves:
    return decide(waits, occupants, RULES, NOW, busy=busy)


def test_who_fits_is_loaded_one_at_a_time() -> None:
    assert plan() == plan(occupant(1)) == Moves(load="new")
    assert plan(occupant(1), busy=True) == Moves()
    assert plan(waits=[WAITS, Applicant("older", 1, NOW - 2)]) == Moves(load="older")


def test_the_idle_one_goes_that_was_used_least_lately() -> None:
    used, unused = occupant(1, used_at=NOW - 10), occupant(2)
    assert plan(used, unused) == Moves(leave=(2,))
    assert plan(replace(used, needs=2)) == Moves(leave=(1,))
    assert plan(used, replace(unused, leaving=True)) == Moves(), "there will be room"
    assert plan(occupant(1, asked_at=7), occupant(2, asked_at=6)) == Moves(leave=(2,)), "both were seen at one time"


@pytest.mark.parametrize("said", [{"busy": True}, {"keep": ALWAYS}, {"ready_at": None}, {"ready_at": NOW - 4}])
def test_who_stays(said: dict[str, object]) -> None:
    assert plan(occupant(1, **said), occupant(2, **said)) == Moves()


def test_after_a_turn_the_longest_there_goes_although_it_has_work() -> None:
    late = [Applicant("new", 1, NOW - 31)]
    first, second = occupant(1, busy=True, ready_at=NOW - 90), occupant(2, busy=True, ready_at=NOW - 80)
    assert plan(second, first, waits=late) == Moves(leave=(1,))
    assert plan(replace(first, keep=ALWAYS), second, waits=late) == Moves(leave=(2,))
    assert plan(first, replace(second, busy=False, used_at=NOW), waits=late) == Moves(leave=(2,)), "an idle one first"


def test_nobody_goes_for_one_worker_more() -> None:
    more = Applicant("m1", 1, NOW - 31, further=True)
    assert plan(occupant(1), occupant(2), waits=[more]) == Moves()
    assert plan(occupant(1), waits=[more]) == Moves(load="m1")
    assert plan(occupant(1), occupant(2), waits=[more, WAITS]) == Moves(leave=(1,)), "it keeps nobody out"


def test_nobody_goes_in_vain() -> None:
    large = [Applicant("large", 2, NOW - 31)]
    assert plan(occupant(1, keep=ALWAYS), occupant(2), waits=large) == Moves()


def test_no_more_go_than_have_to() -> None:
    rules = replace(RULES, budget=4)
    small, large = occupant(1, used_at=NOW - 60), occupant(2, needs=3)
    assert decide([Applicant("new", 3, NOW)], [small, large], rules, NOW, busy=False) == Moves(leave=(2,))


def test_whom_nobody_asks_for_goes_by_itself() -> None:
    assert plan(occupant(1, keep=40), waits=()) == Moves(unasked=(1,))
    assert plan(occupant(1, keep=60), occupant(2, keep=ALWAYS), waits=()) == Moves()
    assert plan(occupant(1, keep=0), waits=()) == Moves(unasked=(1,))
    assert plan(occupant(1, keep=0, busy=True), waits=()) == Moves(), "somebody else's jobs wait, or are computed"


def test_room_that_is_made_is_for_whom_it_is_made() -> None:
    first, small = Applicant("large", 2, NOW - 40), Applicant("small", 1, NOW - 1)
    assert plan(occupant(1, leaving=True, ready_at=NOW - 3), waits=[small, first]) == Moves()


@dataclass
class House:
    """Models with steady work, in a room for two: time is made up, and passes by tenths of a second."""

    draw: random.Random
    now: float = 0.0
    there: dict[str, Occupant] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)
    longest: float = 0.0
    loads: int = 0

    def pass_by(self) -> None:
        self.now += 0.1
        for name in ("a", "b", "c", "d", "e"):
            if name not in self.there:
                self.waits.setdefault(name, self.now)
        occupants = [replace(each, used_at=self.now) for each in self.there.values()]
        busy = any(each.ready_at is None for each in occupants)
        applicants = [Applicant(name, 1, since) for name, since in self.waits.items()]
        moves = decide(applicants, occupants, RULES, self.now, busy=busy)
        for name, each in list(self.there.items()):
            if each.number in moves.leave:
                self.there[name] = replace(each, leaving=True)
            elif each.leaving and self.draw.random() < 0.2:
                del self.there[name]
            elif each.ready_at is None and self.draw.random() < 0.1:
                self.there[name] = replace(each, ready_at=self.now)
        if moves.load:
            self.loads += 1
            self.longest = max(self.longest, self.now - self.waits.pop(moves.load))
            self.there[moves.load] = Occupant(self.loads, moves.load, 1, None, 0, busy=True, keep=600, leaving=False)
        assert len(self.there) <= 2


@pytest.mark.parametrize("seed", range(3))
def test_none_is_kept_out_for_ever_and_they_do_not_swap_at_each_request(seed: int) -> None:
    """Five who always have work: each waits for a turn at most, and then for those before it to be loaded and used."""
    house = House(random.Random(seed))
    for _ in range(20_000):
        house.pass_by()
    assert house.longest < 30 + 5 * (RULES.residence + 6)
    assert house.loads < 2000 / RULES.residence * 2
