"""How long a host may be silent is measured against its own pace."""

from __future__ import annotations

import pytest

from worker.engines.pulse import LEAST, MOST, STILL, Pulse


def silence(pulse: Pulse, patience: int = 100_000) -> int:
    """Looks, a second apart, until it is taken to hang; -1 if it never is."""
    return next((second for second in range(1, patience) if pulse.look(1.0)), -1)


def test_who_asks_nothing_hears_nothing() -> None:
    pulse = Pulse()
    assert silence(pulse) == -1
    with pulse.expect():
        assert silence(pulse) == LEAST + 1


def test_a_sign_of_life_begins_the_silence_anew() -> None:
    pulse = Pulse()
    with pulse.expect():
        for _ in range(20):
            assert silence(pulse, int(LEAST)) == -1
            pulse.beat()
            assert not pulse.look(1.0)


def test_the_pace_that_was_seen_is_the_measure() -> None:
    pulse = Pulse()
    with pulse.expect():
        assert silence(pulse, 8) == -1  # seven seconds
        pulse.beat()
        pulse.look(1.0)
        assert silence(pulse) == 10 * 7 + 1


def test_a_slow_model_is_known_before_its_first_answer() -> None:
    pulse = Pulse()
    pulse.begin(60.0)
    with pulse.expect():
        assert silence(pulse) == 3 * 60 + 1


def test_what_takes_many_steps_without_a_sign_has_the_time_of_each_and_is_no_measure_of_one() -> None:
    pulse = Pulse()
    pulse.begin(2.0)
    with pulse.expect(steps=20, seconds=30.0):
        assert silence(pulse, 120) == -1  # of the 150 that it may take
        pulse.beat()
        pulse.look(1.0)
    with pulse.expect():
        assert silence(pulse) == int(10 * (119 - 30) / 20) + 1


def test_the_most_patient_of_those_who_wait_counts() -> None:
    pulse = Pulse()
    with pulse.expect(), pulse.expect(seconds=100.0):
        assert silence(pulse) == LEAST + 100 + 1


def test_clients_who_give_up_do_not_hide_a_host_that_hangs() -> None:
    pulse = Pulse()
    for _ in range(2):
        with pulse.expect():
            assert silence(pulse, 6) == -1
        assert silence(pulse, 600) == -1  # nobody waits, which is no silence
    with pulse.expect():
        assert silence(pulse) == LEAST + 1 - 2 * 5


def test_a_new_life_begins_with_the_pace_of_the_last() -> None:
    pulse = Pulse()
    with pulse.expect():
        assert silence(pulse, 6) == -1
        pulse.beat()
        pulse.look(1.0)
        assert silence(pulse, 30) == -1
        pulse.begin(0.1)
        assert silence(pulse) == 10 * 5 + 1


def test_no_gap_allows_for_more_than_is_bearable() -> None:
    """Else each silence of a busy machine would allow for one ten times as long."""
    pulse = Pulse()
    pulse.begin(1.0)
    with pulse.expect():
        for seen in (LEAST, 80, 599):
            assert silence(pulse, int(seen)) == -1
            pulse.beat()
            pulse.look(1.0)
        assert silence(pulse) == MOST + 1
        pulse.begin(300.0)  # a model that is slower than that is known to be
        assert silence(pulse) == 3 * 300 + 1


@pytest.mark.parametrize("step", [0.1, 10_000.0])
def test_a_host_that_computes_nothing_is_frozen_whatever_its_steps_took(step: float) -> None:
    pulse = Pulse()
    pulse.begin(step)
    with pulse.expect():
        pulse.look(1.0, 7.5)
        looks = [second for second in range(2, 100) if pulse.look(1.0, 7.5)]
    assert looks[0] == (LEAST if step < 1 else STILL + 1) + 1


def test_a_hundredth_of_a_second_now_and_then_is_a_life() -> None:
    pulse = Pulse()
    pulse.begin(10_000.0)
    with pulse.expect():
        assert not any(pulse.look(1.0, 1.0 + second // 20 * 0.01) for second in range(1000))


def test_where_nobody_tells_what_it_computes_only_its_silence_counts() -> None:
    pulse = Pulse()
    pulse.begin(100.0)
    with pulse.expect():
        assert silence(pulse) == 3 * 100 + 1
