"""What Anthropic's requests become: tasks and how they are answered, or errors that name the parameter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.schemas.parameters import Ignored
from shared.card import Ability
from shared.config import Config
from shared.protocol import Grammar, Options
from tests.messages import MESSAGES, SCHEMA, body, error, read, text, use
from tests.parsing import DEFAULTS


def test_the_usual_request() -> None:
    task, options = read(stop_sequences=["\n\nHuman:"], temperature=0.5, top_p=0.9, top_k=40, stream=True)
    sampling = task.sampling
    assert (sampling.seed, sampling.max_tokens, sampling.stop) == (7, 100, ("\n\nHuman:",))
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.9, 40)
    assert options == Options(stream=True, include_usage=True, hides_reasoning=True)
    assert read()[0].sampling.temperature is None  # the model's own, else 1
    assert read(service_tier="standard_only") == read(service_tier="auto") == read()


def test_more_tokens_than_the_operator_allows_are_as_many_as_he_does() -> None:
    few = Config(max_tokens=50)
    assert read(few)[0].sampling.max_tokens == 50
    assert read(few, max_tokens=10)[0].sampling.max_tokens == 10
    assert read(max_tokens=64_000)[0].sampling.max_tokens == DEFAULTS.max_tokens
    assert MESSAGES.schema.ignored(body(max_tokens=64_000)) == ["max_tokens"]
    assert MESSAGES.schema.ignored(body(max_tokens=DEFAULTS.max_tokens)) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (False, "", None, True)),
        ({"thinking": {"type": "disabled"}}, (False, "", None, True)),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, (True, "", 2000, False)),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}}, (True, "", 2000, True)),
        ({"thinking": {"type": "adaptive", "display": "summarized"}}, (None, "", None, False)),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}, (None, "xhigh", None, False)),
        ({"output_config": {"effort": "low"}}, (False, "", None, True)),
    ],
)
def test_thinking(given: dict[str, Any], expected: tuple[bool | None, str, int | None, bool]) -> None:
    task, options = read(**given)
    assert (task.thinking, task.effort, task.thinking_budget, options.hides_reasoning) == expected


def test_what_asks_for_thoughts_is_told_where_there_are_none() -> None:
    thinking = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}
    needs = {"thinking": Ability.REASONING, "output_config.effort": Ability.EFFORT}
    assert MESSAGES.schema.needs(body(**thinking)) == needs
    assert MESSAGES.schema.needs(body(thinking={"type": "disabled"})) == MESSAGES.schema.needs(body()) == {}
    assert MESSAGES.schema.ignored(body(**thinking)) == []
    assert MESSAGES.schema.ignored(body(output_config={"effort": "low"})) == ["output_config.effort"]


def test_structured_output() -> None:
    wanted = {"type": "json_schema", "schema": SCHEMA}
    for given, param in (
        ({"output_config": {"format": wanted}}, "output_config.format"),
        ({"output_format": wanted}, "output_format"),
        ({"output_config": {"format": wanted}, "output_format": wanted}, "output_config.format"),
    ):
        assert read(**given)[0].sampling.grammar == Grammar(
            "json", json.dumps(SCHEMA, separators=(",", ":")), param=param
        )
    other = {"type": "json_schema", "schema": {"type": "object"}}
    assert error(output_config={"format": wanted}, output_format=other) == ("output_format", "invalid_value")
    assert error(output_config={"format": {"type": "text"}})[0] == "output_config.format.type"


IGNORED: dict[str, list[Any]] = {
    "metadata": [{"user_id": "somebody"}, {}],
    "cache_control": [{"type": "ephemeral", "ttl": "1h"}],
    "context_management": [{"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}],
    "diagnostics": [{"previous_message_id": "msg_1"}],
    "inference_geo": ["eu"],
    "speed": ["fast", "standard"],
    "betas": [["interleaved-thinking-2025-05-14"]],
    "anthropic_beta": [[]],
    "anthropic_version": ["bedrock-2023-05-31"],
    "billing_policy": [{"type": "billing_policy"}],
    "fallbacks": ["default", [{"model": "other"}]],
    "fallback_credit_token": ["x"],
    "user_profile_id": ["x"],
    "workspace_id": ["x"],
    "tool_choice": [{"type": "any"}, {"type": "none"}],
}


def test_each_is_tried_here() -> None:
    fields = {name for name, field in MESSAGES.schema.fields.items() if isinstance(field, Ignored)}
    assert fields | {"tool_choice"} == IGNORED.keys()


@pytest.mark.parametrize("name", IGNORED)
def test_what_asks_for_nothing_is_taken_and_told(name: str) -> None:
    for value in IGNORED[name]:
        assert read(**{name: value}) == read()
        assert MESSAGES.schema.ignored(body(**{name: value})) == [name]


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"max_tokens": None}, "max_tokens", "missing_required_parameter"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_tokens": "1"}, "max_tokens", "invalid_type"),
        ({"temperature": 1.1}, "temperature", "decimal_above_max_value"),
        ({"top_p": -0.1}, "top_p", "decimal_below_min_value"),
        ({"top_k": -1}, "top_k", "integer_below_min_value"),
        ({"stop_sequences": "a"}, "stop_sequences", "invalid_type"),
        ({"stop_sequences": ["a", ""]}, "stop_sequences[1]", "invalid_value"),
        ({"stop_sequences": ["a"] * 17}, "stop_sequences", "array_above_max_length"),
        ({"stop": ["a"]}, "stop", "unknown_parameter"),
        ({"n": 2}, "n", "unknown_parameter"),
        ({"service_tier": "flex"}, "service_tier", "unsupported_value"),
        ({"system": [{"type": "image"}]}, "system[0].type", "unsupported_value"),
        ({"system": [text("a"), use()]}, "system[1].type", "unsupported_value"),
        ({"thinking": {"type": "between_tools"}}, "thinking.type", "unsupported_value"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens", "integer_below_min_value"),
        ({"thinking": {"type": "adaptive", "budget_tokens": 1024}}, "thinking.budget_tokens", "invalid_value"),
        ({"output_config": {"effort": "none"}}, "output_config.effort", "unsupported_value"),
        ({"container": "container_1"}, "container", "unsupported_parameter"),
        ({"mcp_servers": [{"type": "url", "url": "x", "name": "x"}]}, "mcp_servers", "unsupported_value"),
        ({"compaction": {"type": "summarize"}}, "compaction", "unsupported_parameter"),
        ({"thread": {"type": "create"}}, "thread", "unsupported_parameter"),
        ({"speed": "slow"}, "speed", "unsupported_value"),
    ],
)
def test_what_is_refused(given: dict[str, Any], param: str, code: str) -> None:
    assert error(**given) == (param, code)
