"""How many workers a model has that may have several: inferq/agent/growth.py, with made-up time."""

from __future__ import annotations

import pytest

from inferq.agent.growth import Growth
from shared.census import Demand


def run(growth: Growth, seconds: float, *, begin: float, rate: float, waiting: int, ready: int, idle: float = 2) -> int:
    """What is wanted after so many seconds in which a model completes so many jobs in each."""
    wanted = 0
    for tick in range(int(seconds * 10)):
        now = begin + tick / 10
        asked = Demand(waiting, 4, 0, completed=int(now * rate))
        wanted = growth.wanted("m", (1, 3), ready, ready, asked, idle, now)
    return wanted


def test_one_more_is_tried_while_many_wait_and_cores_are_idle() -> None:
    assert run(Growth(), 40, begin=0, rate=2, waiting=100, ready=1) == 2
    assert run(Growth(), 40, begin=0, rate=2, waiting=100, ready=1, idle=0.4) == 1
    assert run(Growth(), 40, begin=0, rate=2, waiting=5, ready=1) == 1


@pytest.mark.parametrize(("rate", "wanted"), [(3.5, 2), (2, 1)], ids=["of use", "of none"])
def test_it_stays_only_where_more_is_served(rate: float, wanted: int) -> None:
    growth = Growth()
    run(growth, 40, begin=0, rate=2, waiting=100, ready=1)
    run(growth, 5, begin=40, rate=2, waiting=100, ready=1)
    base = 45 * 2 - 45 * rate
    for tick in range(300):
        now = 45 + tick / 10
        asked = Demand(100, 4, 0, completed=int(base + now * rate))
        found = growth.wanted("m", (1, 2), 2, 2, asked, 2, now)
    assert found == wanted


def test_one_that_finds_no_room_is_not_wanted_for_ever() -> None:
    growth = Growth()
    assert run(growth, 40, begin=0, rate=2, waiting=100, ready=1) == 2
    assert run(growth, 1, begin=40, rate=2, waiting=0, ready=1) == 1


def test_one_that_cannot_be_loaded_is_not_tried_again_and_again() -> None:
    growth, asked = Growth(), Demand(100, 4, 0, completed=80)
    assert run(growth, 40, begin=0, rate=2, waiting=100, ready=1) == 2
    assert [growth.wanted("m", (1, 2), there, 1, asked, 2, 40.0 + there) for there in (1, 2)] == [2, 2]
    assert growth.wanted("m", (1, 2), 1, 1, asked, 2, 43.0) == 1
    assert run(growth, 60, begin=44, rate=2, waiting=100, ready=1) == 1


def test_when_nobody_waits_any_more_it_goes() -> None:
    growth = Growth()
    run(growth, 40, begin=0, rate=2, waiting=100, ready=1)
    assert run(growth, 30, begin=40, rate=2, waiting=0, ready=2) == 2
    assert run(growth, 70, begin=70, rate=0, waiting=0, ready=2) == 1
