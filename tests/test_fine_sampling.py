"""Sampling beyond OpenAI's: what requests may say of it, under which names, and how a task carries it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.schemas.chat_request import ChatSchema
from gateway.schemas.fine_sampling import ALIASES, FineSamplingSchema
from gateway.schemas.logprob_request import LogprobsSchema
from gateway.schemas.parameters import Only
from gateway.schemas.structured import StructuredSchema
from shared.card import Card
from shared.codec import decode_accepted, encode
from shared.config import Config
from shared.errors import InvalidRequest
from shared.parameters import check_parameters
from shared.protocol import FINE, SAMPLERS, Accepted, Completion, FineSampling, Sampling
from tests.parsing import CHAT, USER, chat, completion, refused_chat

OFF = {"dynatemp_range": 0, "xtc_probability": 0, "mirostat": 0, "dry_multiplier": 0, "top_n_sigma": -1}
UNSAID = {"min_tokens": 0, "stop_token_ids": [], "min_keep": 0, "adaptive_target": -0.01, "samplers": list(SAMPLERS)}
DETAILS: dict[str, Any] = {
    "dynatemp_exponent": 2,
    "xtc_threshold": 0.2,
    "mirostat_tau": 3,
    "mirostat_eta": 0.2,
    "adaptive_decay": 0.5,
    "dry_base": 2,
    "dry_allowed_length": 4,
    "dry_penalty_last_n": 64,
    "dry_sequence_breakers": ["\n"],
}


@pytest.mark.parametrize("alias", ALIASES)
def test_another_name_says_the_same(alias: str) -> None:
    name = ALIASES[alias]
    value: Any = {"ignore_eos": True, "mirostat": 2, "typical_p": 0.5, "stop": ["a"]}.get(name, 5)
    assert chat(**{alias: value}) == chat(**{name: value}) == chat(**{alias: value, name: value}) != chat()
    other: Any = {"ignore_eos": False, "mirostat": 1, "typical_p": 0.4, "stop": "b"}.get(name, 6)
    assert refused_chat(**{alias: value, name: other}) == (alias, "invalid_value")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n_predict"])
def test_no_limit_is_the_operators(name: str) -> None:
    body = {"model": "m", "messages": [USER], name: -1}
    assert CHAT.parse(body, 7, Config(max_tokens=99))[0].sampling.max_tokens == 99
    assert refused_chat(**{name: -2}) == (name, "integer_below_min_value")


def test_top_k_may_be_off_as_vllm_writes_it() -> None:
    assert chat(top_k=-1) == chat(top_k=0)


@pytest.mark.parametrize("given", [OFF, DETAILS, {**OFF, **DETAILS}, UNSAID])
def test_what_is_off_says_nothing(given: dict[str, Any]) -> None:
    """Clients send it all the time, also to engines that cannot do it."""
    assert chat(**given) == chat()
    assert type(chat(**given)[0].sampling) is Sampling


def test_what_is_on_is_taken_over_with_its_details() -> None:
    on = {
        **dict.fromkeys([*OFF, "min_keep", "adaptive_target"], 1),
        **DETAILS,
        "min_tokens": 2,
        "stop_token_ids": [3, 4],
        "samplers": ["dry", "top_k"],
        "prompt_logprobs": 3,
    }
    sampling = chat(**on, repeat_last_n=9, logprobs=True)[0].sampling
    assert type(sampling) is FineSampling
    assert sampling.fine == FINE - {"grammar"}
    expected = {name: tuple(value) if isinstance(value, list) else value for name, value in on.items()}
    assert {name: getattr(sampling, name) for name in on} == expected


def test_no_more_tokens_are_required_than_allowed() -> None:
    assert chat(min_tokens=5, max_tokens=5)[0].sampling.min_tokens == 5
    assert refused_chat(min_tokens=6, max_tokens=5) == ("min_tokens", "invalid_value")
    with pytest.raises(InvalidRequest, match="at most 16"):  # which a completion has where it names none
        completion(min_tokens=17)


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]", "integer_below_min_value"),
        ({"stop_token_ids": [1] * 129}, "stop_token_ids", "array_above_max_length"),
        ({"dry_sequence_breakers": ["a"] * 5}, "dry_sequence_breakers", "array_above_max_length"),
        ({"dry_sequence_breakers": ["a" * 17]}, "dry_sequence_breakers[0]", "string_above_max_length"),
        ({"dry_sequence_breakers": []}, "dry_sequence_breakers", "empty_array"),
        ({"samplers": ["top_k", "mirostat"]}, "samplers[1]", "unsupported_value"),
        ({"mirostat": 3}, "mirostat", "integer_above_max_value"),
        ({"temperature": float("inf")}, "temperature", "decimal_above_max_value"),
        ({"mirostat_tau": float("nan")}, "mirostat_tau", "decimal_below_min_value"),
    ],
)
def test_what_is_refused(given: dict[str, Any], param: str, code: str) -> None:
    assert refused_chat(**given) == (param, code)


@pytest.mark.parametrize("value", [1, 1.0])
def test_a_number_that_asks_for_nothing_may_be_written_either_way(value: float) -> None:
    assert chat(length_penalty=value, tfs=value) == chat()


def test_every_part_has_its_parameter() -> None:
    supported = {name for name, field in FineSamplingSchema().fields.items() if not isinstance(field, Only)}
    others = {*StructuredSchema().fields, *LogprobsSchema().fields, *ChatSchema().fields}
    assert supported | others >= FINE
    assert {ALIASES.get(name, name) for name in supported} <= set(Sampling.__struct_fields__)


def test_a_task_that_asks_for_more_is_of_another_kind() -> None:
    """A worker of release 0.2.0 hands it back, and computes the others as ever."""
    plain, fine = Sampling(7, cache_prompt=False), FineSampling(7, min_tokens=3, stop_token_ids=(5,))
    written = '"sampling":{"type":"FineSampling","seed":7,"min_tokens":3,"stop_token_ids":[5]}'
    for sampling, words in ((plain, '"sampling":{"type":"Sampling","seed":7,"cache_prompt":false}'), (fine, written)):
        accepted = Accepted(Completion("m", ("a",), sampling), 1)
        blob = encode([accepted])
        assert words in blob.decode()
        assert decode_accepted(blob) == accepted
        assert b'"sampling":{"type":"Sampling","seed":7}' in encode([accepted.head()])


def test_an_engine_honours_what_its_card_says() -> None:
    task = Completion("m", ("a",), FineSampling(7, min_tokens=3, mirostat=2, mirostat_tau=1.0))
    card = Card("m", "an-engine", "a", 10, 1, 1, honours=("min_tokens", "mirostat_tau"))
    with pytest.raises(InvalidRequest, match=r"engine an-engine, which runs the model 'm', .* 'mirostat'") as refusal:
        check_parameters(task, card)
    assert (refusal.value.param, refusal.value.code) == ("mirostat", "unsupported_parameter")
    check_parameters(task, Card("m", "an-engine", "a", 10, 1, 1, honours=tuple(FINE)))
    check_parameters(task, Card("m", "", "", 0, 1, 1))  # it is being loaded
    with pytest.raises(InvalidRequest):  # what release 0.2.0 writes
        check_parameters(task, Card("m", "llama.cpp", "a", 10, 1, 1))
