"""What Anthropic's requests say of thoughts, and of the form of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import post_load, validates_schema

from gateway.schemas.objects import Member, Object, Strict
from gateway.schemas.parameters import INT32_MAX, Ignored, Integer, Word
from gateway.schemas.problem import refuse
from gateway.schemas.reasoning import EFFORTS
from gateway.schemas.structured import Schema
from shared.card import Ability
from shared.protocol import Grammar

_KINDS: dict[str, bool | None] = {"enabled": True, "adaptive": None, "disabled": False}
"""Whether to think; None: as the model does."""


class ThinkingConfig(Strict):
    type = Word(*_KINDS, required=True)
    budget_tokens = Integer(1, INT32_MAX)
    display = Word("summarized", "updates", "omitted")
    block_binding = Ignored(Object())  # thoughts that come back are not looked at

    @validates_schema
    def agrees(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["type"] != "enabled" and "budget_tokens" in data:
            raise refuse("invalid_value", "only allowed when 'type' is \"enabled\"", name="budget_tokens")


class OutputFormat(Strict):
    type = Word("json_schema", required=True)
    schema = Schema(required=True)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> str:
        return str(data["schema"])


class OutputConfig(Strict):
    effort = Word(*EFFORTS[2:])
    format = Member(OutputFormat)
    task_budget = Ignored(Object())  # a client's own count, which Anthropic's models are told


class ThinkingSchema(Strict):
    thinking = Member(ThinkingConfig)
    output_config = Member(OutputConfig)
    output_format = Member(OutputFormat)  # what `output_config.format` was called before

    @validates_schema
    def agrees(self, data: dict[str, Any], **kwargs: Any) -> None:
        grammar(data)

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        effort = (data.get("output_config") or {}).get("effort")
        vain = effort is not None and not thinks(data)
        return [*super().ignored(data), *(["output_config.effort"] if vain else [])]

    def needs(self, data: Mapping[str, Any]) -> dict[str, Ability]:
        if not thinks(data):
            return {}
        effort = (data.get("output_config") or {}).get("effort")
        found = {"thinking": Ability.REASONING}
        return found | ({"output_config.effort": Ability.EFFORT} if effort is not None else {})


def thinks(given: Mapping[str, Any]) -> bool:
    """Whether it asks for thoughts: unasked, clients of Anthropic's expect none."""
    return bool(given.get("thinking")) and given["thinking"]["type"] != "disabled"


def thinking(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was read, as fields of `FineChat`."""
    if not thinks(given):
        return {"thinking": False}
    asked = given["thinking"]
    effort, budget = given.get("output_config", {}).get("effort", ""), asked.get("budget_tokens")
    return {"thinking": _KINDS[asked["type"]], "effort": effort, "thinking_budget": budget}


def hides(given: Mapping[str, Any]) -> bool:
    """Whether thoughts are told nowhere."""
    return not thinks(given) or given["thinking"].get("display") == "omitted"


def grammar(given: Mapping[str, Any]) -> Grammar | None:
    """What was read, as the part of `Sampling`. Raises ValidationError where it is said twice."""
    schema, older = given.get("output_config", {}).get("format"), given.get("output_format")
    if schema and older and schema != older:
        raise refuse("invalid_value", "it says something else than 'output_config.format'", name="output_format")
    if schema:
        return Grammar("json", schema, param="output_config.format")
    return Grammar("json", older, param="output_format") if older else None
