"""How long a host may be silent is measured against its own pace."""

from __future__ import annotations

from worker.engines.pulse import LEAST, Pulse


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
