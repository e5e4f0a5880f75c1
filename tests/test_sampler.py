"""The sampler, by exact arithmetic on logits that are known."""

from __future__ import annotations

from collections import Counter
from math import exp, log
from typing import Any

import numpy as np
import pytest

from shared.protocol import Sampling
from worker.engines.sampler import Sampler, price

CHANCES = np.array([0.5, 0.25, 0.125, 0.0625, 0.0625])
LOGITS = np.log(CHANCES).astype(np.float32)


def chances(before: tuple[int, ...] = (), banned: tuple[int, ...] = (), **sampling: Any) -> list[float]:
    return list(Sampler(Sampling(seed=1, **sampling), banned).probabilities(LOGITS.astype(np.float64), before))


def shares(*parts: float) -> Any:
    return pytest.approx([part / sum(parts) for part in parts], abs=1e-6)


def test_without_settings_they_are_the_models_own() -> None:
    assert chances() == shares(*CHANCES)


def test_temperature_flattens_and_sharpens() -> None:
    assert chances(temperature=2.0) == shares(*(chance**0.5 for chance in CHANCES))
    assert chances(temperature=0.5) == shares(*(chance**2 for chance in CHANCES))


def test_temperature_0_takes_the_likeliest() -> None:
    sampler = Sampler(Sampling(seed=1, temperature=0.0))
    assert {sampler.choose(LOGITS, (), position) for position in range(20)} == {0}


def test_top_k() -> None:
    assert chances(top_k=2) == shares(0.5, 0.25, 0, 0, 0)


def test_top_p_takes_as_many_as_reach_it() -> None:
    assert chances(top_p=0.6) == shares(0.5, 0.25, 0, 0, 0)
    assert chances(top_p=0.0) == shares(1, 0, 0, 0, 0)


def test_min_p_is_relative_to_the_likeliest() -> None:
    assert chances(min_p=0.2) == shares(0.5, 0.25, 0.125, 0, 0)


def test_typical_p_takes_those_of_the_expected_surprise() -> None:
    """The entropy is 1.875 bits; the surprises are 1, 2, 3, 4 and 4 bits, so the second is the nearest."""
    assert chances(typical_p=0.2) == shares(0, 1, 0, 0, 0)
    assert chances(typical_p=0.7) == shares(0.5, 0.25, 0, 0, 0)


def test_repeat_penalty_divides_positive_logits_and_multiplies_negative_ones() -> None:
    assert chances((1,), repeat_penalty=2.0) == shares(0.5, exp(2 * log(0.25)), 0.125, 0.0625, 0.0625)
    positive = Sampler(Sampling(seed=1, repeat_penalty=2.0)).probabilities(np.array([2.0, 1.0]), (0,))
    assert list(positive) == shares(exp(1), exp(1))


def test_presence_counts_once_and_frequency_each_time() -> None:
    assert chances((1, 1, 2), presence_penalty=1.0) == shares(0.5, 0.25 / exp(1), 0.125 / exp(1), 0.0625, 0.0625)
    assert chances((1, 1, 2), frequency_penalty=1.0) == shares(0.5, 0.25 / exp(2), 0.125 / exp(1), 0.0625, 0.0625)


def test_penalties_look_back_64_tokens() -> None:
    assert chances((1, *(2,) * 64), presence_penalty=1.0) == shares(0.5, 0.25, 0.125 / exp(1), 0.0625, 0.0625)


def test_logit_bias_and_banned_tokens() -> None:
    assert chances(logit_bias=((3, log(8)),)) == shares(0.5, 0.25, 0.125, 0.5, 0.0625)
    assert chances(banned=(0, 1)) == shares(0, 0, 0.125, 0.0625, 0.0625)


def test_the_draw_follows_the_chances_and_depends_on_seed_and_position_alone() -> None:
    sampler = Sampler(Sampling(seed=5))
    drawn = [sampler.choose(LOGITS, (), position) for position in range(4000)]
    assert drawn == [Sampler(Sampling(seed=5)).choose(LOGITS, (), position) for position in range(4000)]
    assert drawn != [Sampler(Sampling(seed=6)).choose(LOGITS, (), position) for position in range(4000)]
    counts = Counter(drawn)
    assert [counts[token] / 4000 for token in range(5)] == pytest.approx(list(CHANCES), abs=0.04)


def test_what_is_told_of_a_token_is_the_models_own() -> None:
    token = Sampler(Sampling(seed=1, temperature=0.0, logit_bias=((2, 100.0),))).choose(LOGITS, (), 0)
    words = [b"a", b"b", b"c", b"d", b"e"]
    told = price(LOGITS, token, 2, words)
    assert (told.token, told.text, told.rank) == (2, b"c", 3)
    assert told.logprob == pytest.approx(log(0.125), abs=1e-5)
    assert [(other.token, other.text) for other in told.top] == [(0, b"a"), (1, b"b")]
    assert [other.logprob for other in told.top] == pytest.approx([log(chance) for chance in CHANCES[:2]], abs=1e-5)
    assert price(LOGITS, token, 0, words).top == ()
    assert len(price(LOGITS, token, 20, words).top) == 5
