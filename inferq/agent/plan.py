"""Who is loaded next, and who makes room for it. Pure: it is told what there is, and says what to do.

Whoever has waited the longest comes first. Room makes who is idle, the one first that was used least lately; a model
that has work is asked to go only for one that has waited for a whole *turn*, and then the one that was there the
longest: so none is kept out for ever, and none is in turn for less than its *residence*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.catalogue.lasting import ALWAYS


@dataclass(frozen=True, slots=True)
class Applicant:
    """A model that is asked for, and that nobody serves or that should have one worker more."""

    model: str
    needs: int
    since: float
    """When it began to be asked for (monotonic)."""
    further: bool = False
    """It has a worker: nobody goes for one more."""


@dataclass(frozen=True, slots=True)
class Occupant:
    """A worker that has a part of the memory."""

    number: int
    """By which the agent knows it."""
    model: str
    needs: int
    ready_at: float | None
    """None while it loads."""
    used_at: float
    """When its model was asked for last."""
    busy: bool
    """Its model has jobs that wait or run."""
    keep: float
    """Seconds that it stays though nobody asks for it."""
    leaving: bool
    """It was asked to go."""
    asked_at: int = 0
    """When its model's last request came, in milliseconds by another clock; among those used at the same time."""


@dataclass(frozen=True, slots=True)
class HouseRules:
    """The settings of the same names."""

    budget: int
    residence: float
    turn: float
    max_loaded: int = 0


@dataclass(frozen=True, slots=True)
class Moves:
    """What is to be done now."""

    load: str = ""
    """The model that gets a worker."""
    leave: tuple[int, ...] = ()
    """Those that make room for another one."""
    unasked: tuple[int, ...] = ()
    """Those that go because nobody has asked for them."""


def decide(
    applicants: Iterable[Applicant], occupants: Sequence[Occupant], rules: HouseRules, now: float, *, busy: bool
) -> Moves:
    """`busy` is whether a model is being loaded: one at a time is."""
    unasked = tuple(each.number for each in occupants if _overstays(each, now))
    staying = [each for each in occupants if not each.leaving and each.number not in unasked]
    going = [each for each in occupants if each.leaving or each.number in unasked]
    for applicant in sorted(applicants, key=lambda each: each.since):
        if _fits(applicant, occupants, rules):
            return Moves("" if busy else applicant.model, unasked=unasked)
        if applicant.further:
            continue
        if _fits(applicant, staying, rules):
            return Moves(unasked=unasked)  # as soon as those are gone
        late = now - applicant.since >= rules.turn
        evicted = _make_room(applicant, staying, rules, now, late=late)
        if evicted:
            return Moves(leave=evicted, unasked=unasked)
        if going or late:  # what comes free is for this one
            break
    return Moves(unasked=unasked)


def _overstays(each: Occupant, now: float) -> bool:
    idle = not (each.leaving or each.busy or each.ready_at is None)
    return idle and each.keep < ALWAYS and now - max(each.used_at, each.ready_at or 0) > each.keep


def _fits(applicant: Applicant, beside: Sequence[Occupant], rules: HouseRules) -> bool:
    if rules.max_loaded and len(beside) >= rules.max_loaded:
        return False
    return applicant.needs + sum(each.needs for each in beside) <= rules.budget


def _make_room(
    applicant: Applicant, staying: Sequence[Occupant], rules: HouseRules, now: float, *, late: bool
) -> tuple[int, ...]:
    """Those that have to go; none where not even all that may go would do."""

    def may_go(each: Occupant) -> bool:
        if each.keep == ALWAYS or each.ready_at is None or each.model == applicant.model:
            return False
        return now - each.ready_at >= rules.residence and (late or not each.busy)

    idle = sorted(
        (each for each in staying if may_go(each) and not each.busy), key=lambda each: (each.used_at, each.asked_at)
    )
    busy = sorted((each for each in staying if may_go(each) and each.busy), key=lambda each: each.ready_at or 0)
    rest, gone = list(staying), list[Occupant]()
    for each in (*idle, *busy):
        if _fits(applicant, rest, rules):
            break
        rest.remove(each)
        gone.append(each)
    if not _fits(applicant, rest, rules):
        return ()
    for each in tuple(gone):  # a small one need not go where a large one does
        if each is not gone[-1] and _fits(applicant, [*rest, each], rules):
            rest.append(each)
            gone.remove(each)
    return tuple(each.number for each in gone)
