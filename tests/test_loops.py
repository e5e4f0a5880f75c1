"""A loop survives whatever its step does, and says when it keeps failing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from shared.loops import Loop, Loops
from tests.stack import wait_for


@pytest.fixture
def started() -> Iterator[Callable[[Loop], Loop]]:
    loops: list[Loop] = []

    def start(loop: Loop) -> Loop:
        loops.append(loop)
        loop.start()
        return loop

    yield start
    for loop in loops:
        loop.stop(5)


def test_survives_every_exception_and_counts_them(
    started: Callable[[Loop], Loop], caplog: pytest.LogCaptureFixture
) -> None:
    errors = [ValueError("one"), MemoryError(), RecursionError(), KeyError("x"), OSError(11, "fork refused")]
    steps, told = [], list[str]()

    def step() -> None:
        steps.append(1)
        if errors:
            raise errors.pop(0)

    caplog.set_level(logging.INFO, "shared.loops")
    loop = started(Loop("keeper", step, pause=0.01, on_error=told.append))
    wait_for(lambda: len(steps) > 8, "its going on")
    assert loop.errors == 5
    assert told == ["keeper"] * 5
    assert loop.trouble == ""
    assert "keeper works again, after 5 failures" in caplog.text
    assert "ValueError: one" in caplog.text


def test_says_that_it_keeps_failing_and_logs_the_same_reason_once(
    started: Callable[[Loop], Loop], caplog: pytest.LogCaptureFixture
) -> None:
    broken = [True]

    def step() -> None:
        if broken:
            raise ValueError("the same")

    loop = started(Loop("keeper", step, pause=0.01))
    wait_for(lambda: loop.trouble, "trouble")
    assert loop.trouble == "keeper: ValueError: the same"
    assert sum("the same" in record.getMessage() for record in caplog.records) == 1
    broken.clear()
    wait_for(lambda: not loop.trouble, "its recovery")


def test_the_loops_of_a_process_tell_their_trouble_together() -> None:
    loops = Loops()

    def fail() -> None:
        raise ValueError("no")

    well, ill = loops.start("well", lambda: None, pause=0.01), loops.start("ill", fail)
    try:
        wait_for(lambda: loops.trouble, "trouble")
        assert loops.trouble == "ill: ValueError: no"
        assert loops.errors()["well"] == 0
        assert loops.errors()["ill"] >= 3
    finally:
        well.stop(5)
        ill.stop(5)
