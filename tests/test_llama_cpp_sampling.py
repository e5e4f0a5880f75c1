"""That llama.cpp's samplers do what the request asks of them: an effect is seen, and none where they are off."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.schemas.fine_sampling import FineSamplingSchema, make_sampling
from gateway.schemas.parameters import Integer, Number
from gateway.schemas.sampling import SamplingSchema
from shared.errors import InvalidRequest
from shared.protocol import FINE, SAMPLERS, Completion, FineSampling
from tests.answers import finish, run, text, tokens
from tests.tiny import REFERENCE, loaded
from worker.engines.llama_cpp import LlamaCppEngine

LENGTH = 24
OFF: list[dict[str, Any]] = [
    {"dynatemp_exponent": 3.0},
    {"xtc_threshold": 0.0},
    {"mirostat_tau": 1.0, "mirostat_eta": 1.0},
    {"dry_base": 3.0, "dry_allowed_length": 0},
    {"repeat_last_n": 7},
    {"min_keep": 9},
    {"adaptive_decay": 0.5},
    {"samplers": SAMPLERS},
]


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCppEngine]:
    with loaded() as engine:
        yield engine


def task(**sampling: Any) -> Completion:
    given = {"seed": 3, "max_tokens": LENGTH, "temperature": 1.0, "ignore_eos": True, **sampling}
    return Completion("tiny", (REFERENCE["prompt"],), FineSampling(**given))


def said(engine: LlamaCppEngine, **sampling: Any) -> str:
    return text(run(engine, task(**sampling)))


def test_all_are_on_its_card(engine: LlamaCppEngine) -> None:
    assert set(engine.card.honours) == FINE


@pytest.mark.parametrize("given", OFF, ids=lambda given: next(iter(given)))
def test_what_is_off_changes_nothing(engine: LlamaCppEngine, given: dict[str, Any]) -> None:
    assert said(engine, **given) == said(engine)


@pytest.mark.parametrize(
    "given",
    [
        {"top_n_sigma": 0.001},
        {"mirostat": 1, "mirostat_tau": 0.0},
        {"mirostat": 2, "mirostat_tau": 0.0},
        {"samplers": ("top_k",), "top_k": 1, "temperature": 100.0},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_leaves_the_likeliest_only(engine: LlamaCppEngine, given: dict[str, Any]) -> None:
    assert said(engine, **given) == said(engine, temperature=0.0) != said(engine)


@pytest.mark.parametrize(
    "given",
    [
        {"xtc_probability": 1.0, "xtc_threshold": 0.0},
        {"dynatemp_range": 5.0, "temperature": 1.0},
        {"min_keep": 20, "top_p": 0.0, "temperature": 50.0},
        {"samplers": ("temperature",), "top_k": 1, "temperature": 5.0},
        {"adaptive_target": 0.0},
        {"adaptive_target": 0.0, "samplers": ("temperature",)},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_takes_others_than_the_likeliest(engine: LlamaCppEngine, given: dict[str, Any]) -> None:
    assert said(engine, **given) != said(engine, temperature=0.0)


def test_a_high_temperature_makes_all_equal(engine: LlamaCppEngine) -> None:
    drawn = tokens(run(engine, task(temperature=100.0, max_tokens=60)))
    assert len(set(drawn)) > 45


def test_a_dynamic_temperature_reaches_its_highest(engine: LlamaCppEngine) -> None:
    """With an exponent of 0 it always does; `top_k` has tokens drawn in one order."""
    dynamic = said(engine, dynatemp_range=1.0, dynatemp_exponent=0.0, top_k=500)
    assert dynamic == said(engine, temperature=2.0, top_k=500) != said(engine, top_k=500)


def test_dry_ends_repetitions(engine: LlamaCppEngine) -> None:
    """One token is favoured so much that only a penalty for repeating it makes room for another."""
    favoured = engine.tokenize("main")[-1]
    spelt = engine.detokenize([favoured]).decode()

    def repeats(**dry: Any) -> bool:
        given = {"temperature": 0.0, "logit_bias": ((favoured, 50.0),), "dry_multiplier": 10.0, **dry}
        return set(tokens(run(engine, task(**given)))) == {favoured}

    assert not repeats()
    assert repeats(dry_multiplier=0.0)
    assert repeats(dry_allowed_length=100)
    assert repeats(dry_penalty_last_n=0)
    assert repeats(dry_base=1.0)
    assert repeats(dry_sequence_breakers=(spelt,))


def test_the_least_likely_is_none_that_may_not_be_chosen(engine: LlamaCppEngine) -> None:
    """xtc with a threshold of 0 leaves one token: not the end, which is out of the question."""
    least = {"xtc_probability": 1.0, "xtc_threshold": 0.0}
    for banned in ({}, {"min_tokens": LENGTH, "stop_token_ids": (5, 6, 7)}):
        assert finish(run(engine, task(**least, **banned)))[1].usage.completion_tokens == LENGTH


def test_what_llama_cpp_refuses_is_a_refusal(engine: LlamaCppEngine) -> None:
    """And not the death of its host."""
    before = engine.host_pid
    with pytest.raises(InvalidRequest, match="dry_sequence_breakers"):
        run(engine, task(dry_multiplier=1.0, dry_sequence_breakers=()))
    assert engine.host_pid == before


def test_extremes_of_all_are_answered(engine: LlamaCppEngine) -> None:
    """Whatever passes the schema leaves the host alive, and the next answer what it was."""
    drawn, before, greedy = random.Random(5), engine.host_pid, said(engine, temperature=0.0)
    bounds = {
        name: (field.low, int(field.high))
        for name, field in SamplingSchema().fields.items()
        if isinstance(field, Integer | Number) and name in FineSampling.__struct_fields__ and name != "seed"
    }
    assert bounds.keys() >= FINE - {
        "stop_token_ids",
        "samplers",
        "dry_sequence_breakers",
        "grammar",
        "logprobs",
        "prompt_logprobs",
    }
    for number in range(60):
        chosen: dict[str, Any] = {name: drawn.choice(bounds[name]) for name in drawn.sample(sorted(bounds), 8)}
        chosen |= {"seed": number, "max_tokens": 8, "min_tokens": drawn.choice([0, 8]), "ignore_eos": True}
        if number % 2:
            chosen["samplers"] = tuple(drawn.sample(SAMPLERS, 3))
        sampling = make_sampling(FineSamplingSchema().unite(chosen))
        answer = finish(run(engine, Completion("tiny", ("main",), sampling)))
        assert answer[1].usage.completion_tokens == 8, chosen
    assert (engine.host_pid, said(engine, temperature=0.0)) == (before, greedy)
