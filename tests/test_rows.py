"""The row of one owner: so many work at a time, in the order of their coming, and who gives up makes room."""

from __future__ import annotations

import gevent

from gateway.rows import MOST_KEY_REQUESTS, OwnerRows, Row
from gateway.slices import RunQueue


def enter(row: Row, count: int) -> tuple[list[int], list[gevent.Greenlet]]:
    """Those that work, and all of them."""
    working: list[int] = []

    def work(number: int) -> None:
        row.enter()
        working.append(number)

    greenlets = [gevent.spawn(work, number) for number in range(count)]
    gevent.sleep(0.05)
    return working, greenlets


def test_so_many_work_at_a_time_and_the_next_comes_when_one_leaves() -> None:
    row = Row(RunQueue())
    working, _ = enter(row, 3 * MOST_KEY_REQUESTS)
    assert working == list(range(MOST_KEY_REQUESTS))
    row.leave()
    gevent.sleep(0.01)
    assert working == list(range(MOST_KEY_REQUESTS + 1))


def test_who_gives_up_waiting_takes_no_place() -> None:
    row = Row(RunQueue())
    working, greenlets = enter(row, MOST_KEY_REQUESTS + 2)
    greenlets[MOST_KEY_REQUESTS].kill()
    row.leave()
    gevent.sleep(0.01)
    assert working[-1] == MOST_KEY_REQUESTS + 1
    for _ in range(MOST_KEY_REQUESTS):
        row.leave()
    assert len(enter(row, MOST_KEY_REQUESTS)[0]) == MOST_KEY_REQUESTS


def test_owners_have_rows_of_their_own() -> None:
    rows = OwnerRows(RunQueue())
    alices, bobs = rows.of("alice"), rows.of("bob")
    assert alices is rows.of("alice")
    enter(alices, 2 * MOST_KEY_REQUESTS)
    assert len(enter(bobs, 1)[0]) == 1
