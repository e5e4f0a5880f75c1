"""Parameters of requests: what each becomes, which are refused, and that the docs say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.schemas import Format
from gateway.schemas.parameters import Only
from shared.config import Config
from shared.errors import InvalidRequest
from shared.protocol import (
    Chat,
    Completion,
    Message,
    Options,
    Sampling,
)
from tests.parsing import CHAT, COMPLETION, DEFAULTS, USER, chat, completion, refused, refused_chat

DOCS = Path(__file__).parent.parent / "docs" / "api.md"


def test_least_requests() -> None:
    plain = Options(stream=False, include_usage=False)
    assert chat() == (Chat("m", (Message("user", "Hi"),), Sampling(seed=7, max_tokens=4096)), plain)
    assert completion() == (Completion("m", ("Once",), Sampling(seed=7, max_tokens=16)), plain)
    assert (CHAT.id_prefix, COMPLETION.id_prefix) == ("chatcmpl-", "cmpl-")


SUPPORTED: list[tuple[str, list[Any], list[tuple[Any, str]]]] = [
    (
        "max_tokens",
        [1, 32768, 9.0],
        [(0, "integer_below"), (32769, "integer_above"), (1.5, "type"), ("9", "type")],
    ),
    ("temperature", [0, 0.7, 100], [(-0.1, "decimal_below"), (100.1, "decimal_above"), ("1", "type"), (True, "type")]),
    ("top_p", [0, 1.0], [(-1, "decimal_below"), (1.01, "decimal_above"), ([1], "type")]),
    ("top_k", [0, 40, 4e1], [(-2, "integer_below"), (10**400, "integer_above"), (True, "type"), (0.5, "type")]),
    ("min_p", [0, 1], [(-0.01, "decimal_below"), (1.5, "decimal_above"), (float("nan"), "decimal_below")]),
    ("typical_p", [0, 1], [(-0.01, "decimal_below"), (10**400, "decimal_above"), ({}, "type")]),
    ("repeat_penalty", [0.01, 1.1, 100], [(0, "decimal_below"), (-1, "decimal_below"), (1e300, "decimal_above")]),
    ("presence_penalty", [-2, 2], [(-2.1, "decimal_below"), (3, "decimal_above"), ("", "type")]),
    ("frequency_penalty", [-2, 2], [(-2.1, "decimal_below"), (3, "decimal_above"), (False, "type")]),
    ("ignore_eos", [True, False], [("true", "type"), (1, "type")]),
]
ALLOWED = [(name, value) for name, values, _ in SUPPORTED for value in values]
FORBIDDEN = [(name, value, code) for name, _, values in SUPPORTED for value, code in values]


@pytest.mark.parametrize("parse", [chat, completion])
@pytest.mark.parametrize(("name", "value"), ALLOWED)
def test_sampling_is_taken_over(parse: Any, name: str, value: object) -> None:
    task, _ = parse(**{name: value})
    assert getattr(task.sampling, name) == value


@pytest.mark.parametrize("base", [{"messages": [USER]}, {"prompt": "Once"}])
@pytest.mark.parametrize(("name", "value", "code"), FORBIDDEN)
def test_sampling_out_of_bounds_or_of_another_type(base: dict[str, Any], name: str, value: object, code: str) -> None:
    param, found = refused({"model": "m", **base, name: value}, CHAT if "messages" in base else COMPLETION)
    assert param == name
    assert code in found


@pytest.mark.parametrize(
    ("given", "seed"), [(0, 0), (2**32 - 2, 2**32 - 2), (2**32 - 1, 0), (-2, 2**32 - 3), (2**63 - 1, 2**31 - 1)]
)
def test_seed_fits_an_engine(given: int, seed: int) -> None:
    assert chat(seed=given)[0].sampling.seed == seed


@pytest.mark.parametrize("name", ["seed", "sampler_seed"])
def test_a_seed_of_minus_one_is_any(name: str) -> None:
    """As llama.cpp, vLLM and KoboldCpp take it: their clients send it all the time."""
    for anyhow in (-1, -1.0):
        assert chat(**{name: anyhow}) == chat() != chat(**{name: 2**32 - 2})


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1, 1e300, 1.5, True, "1"])
def test_bad_seed(seed: object) -> None:
    assert refused_chat(seed=seed)[0] == "seed"


def test_limits_of_chat() -> None:
    assert chat(max_completion_tokens=5, max_tokens=9)[0].sampling.max_tokens == 5
    assert chat(max_tokens=9)[0].sampling.max_tokens == 9
    assert chat(max_completion_tokens=None, max_tokens=9)[0].sampling.max_tokens == 9
    assert refused_chat(max_completion_tokens=0) == ("max_completion_tokens", "integer_below_min_value")
    assert refused({"model": "m", "prompt": "", "max_completion_tokens": 1}, COMPLETION)[1] == "unknown_parameter"
    assert completion(max_tokens=None)[0].sampling.max_tokens == 16


@pytest.mark.parametrize(
    ("stop", "texts"), [("a", ("a",)), ([], ()), (["a", "\n"], ("a", "\n")), (["a"] * 16, ("a",) * 16)]
)
def test_stop(stop: object, texts: tuple[str, ...]) -> None:
    assert chat(stop=stop)[0].sampling.stop == texts


@pytest.mark.parametrize(
    ("stop", "param", "code"),
    [
        ("", "stop", "invalid_value"),
        (["a", ""], "stop[1]", "invalid_value"),
        (["a", None], "stop[1]", "invalid_type"),
        ([1], "stop[0]", "invalid_type"),
        (["\udc00"], "stop[0]", "invalid_value"),
        (["a"] * 17, "stop", "array_above_max_length"),
        ("a" * 1025, "stop", "string_above_max_length"),
        (["a", "é" * 513], "stop[1]", "string_above_max_length"),
        ({"a": 1}, "stop", "invalid_type"),
    ],
)
def test_bad_stop(stop: object, param: str, code: str) -> None:
    assert refused_chat(stop=stop) == (param, code)


@pytest.mark.parametrize(
    ("setting", "given", "param"),
    [
        ("max_tokens", {"max_tokens": 3}, "max_tokens"),
        ("max_tokens", {"max_completion_tokens": 3}, "max_completion_tokens"),
        ("max_choices", {"n": 3}, "n"),
        ("max_messages", {"messages": [USER] * 3}, "messages"),
        ("max_stops", {"stop": ["a"] * 3}, "stop"),
        ("max_logit_biases", {"logit_bias": {"1": 1, "2": 2, "3": 3}}, "logit_bias"),
    ],
)
def test_caps_are_the_operators(setting: str, given: dict[str, Any], param: str) -> None:
    body, variable = {"model": "m", "messages": [USER], **given}, f"INFERQ_{setting.upper()}"
    with pytest.raises(InvalidRequest) as caught:
        CHAT.parse(body, 7, Config.from_env({variable: "2"}))
    assert caught.value.param == param
    assert f"2 (the operator's {variable})" in caught.value.message
    CHAT.parse(body, 7, Config.from_env({variable: "3"}))


def test_nobody_gets_more_by_not_asking() -> None:
    config = Config(max_tokens=5)
    assert CHAT.parse({"model": "m", "messages": [USER]}, 7, config)[0].sampling.max_tokens == 5
    assert COMPLETION.parse({"model": "m", "prompt": "Once"}, 7, config)[0].sampling.max_tokens == 5


def test_streaming() -> None:
    assert chat(stream=True)[1] == Options(stream=True, include_usage=False)
    asked = {"include_usage": True, "include_obfuscation": False}
    assert chat(stream=True, stream_options=asked)[1] == Options(stream=True, include_usage=True)
    assert completion(stream=True, stream_options={"include_usage": None})[1].include_usage is False
    assert chat(stream=False, stream_options=None)[1].stream is False
    for stream in ({}, {"stream": False}, {"stream": None}):
        assert chat(stream_options={"include_usage": True}, **stream) == chat()
    assert chat(stream=True, stream_options=[]) == chat(stream=True)
    for options, place in (
        ({"include_usage": 1}, "include_usage"),
        ({"x": 1}, "x"),
        ({"include_obfuscation": 0}, "incl"),
    ):
        param, _ = refused_chat(stream=True, stream_options=options)
        assert str(param).startswith(f"stream_options.{place}")
    assert refused_chat(stream=True, stream_options=True) == ("stream_options", "invalid_type")
    assert refused_chat(stream="true") == ("stream", "invalid_type")


@pytest.mark.parametrize(
    ("wire", "base"), [(CHAT, {"messages": [USER]}), (COMPLETION, {"prompt": "Once"})], ids=["chat", "completion"]
)
def test_null_means_not_given(wire: Format, base: dict[str, Any]) -> None:
    nulls = dict.fromkeys(wire.schema.fields)
    assert wire.parse({**nulls, "model": "m", **base}, 7, DEFAULTS) == wire.parse({"model": "m", **base}, 7, DEFAULTS)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"user": 1}, "user"),
        ({"metadata": [1]}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"prompt_cache_options": "x"}, "prompt_cache_options"),
        ({"store": 1}, "store"),
        ({"store": True, "metadata": {"a": "b" * 513}}, "metadata.a"),
        ({"store": True, "metadata": dict.fromkeys(map(str, range(17)), "")}, "metadata"),
        ({"store": True, "metadata": {"k" * 65: ""}}, "metadata"),
        ({"user": "u" * 1025}, "user"),
        ({"metadata": {"a": "b" * 1025}}, "metadata.a"),
        ({"metadata": dict.fromkeys(map(str, range(65)), "")}, "metadata"),
        ({"prompt_cache_options": dict.fromkeys(map(str, range(65)))}, "prompt_cache_options"),
        ({"model": "m" * 1025}, "model"),
    ],
)
def test_without_effect_but_not_just_anything(given: dict[str, Any], param: str) -> None:
    assert refused_chat(**given)[0] == param


RESTRICTED = [
    (wire, name, field)
    for wire in (CHAT, COMPLETION)
    for name, field in wire.schema.fields.items()
    if isinstance(field, Only)
]


@pytest.mark.parametrize(("wire", "name", "field"), RESTRICTED)
def test_unsupported_only_where_it_asks_for_nothing(wire: Format, name: str, field: Only) -> None:
    body = {"model": "m", "messages": [USER]} if wire is CHAT else {"model": "m", "prompt": "Once"}
    for value in field.accepted:
        assert wire.parse({**body, name: value}, 7, DEFAULTS) == wire.parse(body, 7, DEFAULTS)
    for value in (2, 3.0, -0.5, "required", [{"type": "function"}], {"type": "json_object"}, {"50256": -100}):
        code = "unsupported_value" if field.accepted else "unsupported_parameter"
        assert refused({**body, name: value}, wire) == (name, code)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"echo": 0.0}, "echo"),  # equal to False in Python
        ({"echo": 0}, "echo"),
        ({"echo": True}, "echo"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"best_of": True}, "best_of"),
    ],
)
def test_near_misses(given: dict[str, Any], expected: str) -> None:
    assert refused_chat(**given) == (expected, "unsupported_value")
