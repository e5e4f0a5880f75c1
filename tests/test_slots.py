"""The slots of a worker."""

from __future__ import annotations

import threading

from tests.stack import wait_for
from worker.slots import Slots


def fail() -> None:
    raise ValueError


def test_a_slot_outlives_its_work_and_ends_with_the_worker() -> None:
    before, slots, held = set(threading.enumerate()), Slots(2), threading.Event()
    threads = set(threading.enumerate()) - before
    assert slots.take()
    slots.occupy(held.wait)
    for _ in range(3):  # by the other one
        assert slots.take(5)
        slots.occupy(fail)
    assert slots.take(5)
    assert (slots.busy, slots.take()) == (1, False)
    slots.give_back()
    slots.close()
    wait_for(lambda: sum(thread.is_alive() for thread in threads) == 1, "the end of the idle one")
    held.set()
    wait_for(lambda: not any(thread.is_alive() for thread in threads), "the end of the other one")
