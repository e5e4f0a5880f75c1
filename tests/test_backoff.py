"""Pauses between tries that fail."""

from __future__ import annotations

from shared.backoff import Backoff


def test_pauses_double_up_to_the_longest_and_begin_anew() -> None:
    backoff = Backoff(0.5, 3.0)
    assert backoff.pause == 0.0
    assert [backoff.fail() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert (backoff.pause, backoff.failures) == (3.0, 5)
    backoff.reset()
    assert (backoff.pause, backoff.failures) == (0.0, 0)
    assert backoff.fail() == 0.5


def test_it_may_fail_for_ever() -> None:
    backoff = Backoff(0.2, 1.0)
    assert {backoff.fail() for _ in range(5000)} == {0.2, 0.4, 0.8, 1.0}
