"""What requests say of thoughts."""

from __future__ import annotations

from typing import Any

from gateway.schemas.objects import Member, Strict
from gateway.schemas.parameters import INT32_MAX, Boolean, Ignored, Integer, Only, Text


class Reasoning(Strict):
    """OpenRouter's: how to think. To ask a model that does not to think is refused."""

    enabled = Ignored(Only(False))
    effort = Ignored(Text())
    max_tokens = Ignored(Integer(0, INT32_MAX))
    exclude = Ignored(Boolean())  # type: ignore[assignment]  # a field, not an option
    summary = Ignored(Text())


class Thinking(Strict):
    """Anthropic's and others': whether to think."""

    type = Ignored(Only("disabled"), required=True)
    budget_tokens = Ignored(Integer(0, INT32_MAX))


class Switches(Strict):
    """What templates of models that think are told."""

    enable_thinking = Ignored(Only(False))
    thinking = Ignored(Only(False))
    reasoning_effort = Ignored(Text())


class ReasoningSchema(Strict):
    reasoning_effort = Ignored(Text())
    reasoning = Member(Reasoning)
    include_reasoning = Ignored(Boolean())
    reasoning_format = Ignored(Text())
    thinking = Member(Thinking)
    thinking_budget = Ignored(Integer(-1, INT32_MAX))
    enable_thinking = Ignored(Only(False))
    think = Ignored(Only(False))
    chat_template_kwargs = Member(Switches)


def thinking(given: dict[str, Any]) -> dict[str, Any]:
    """What `read` returned, as fields of `FineChat`."""
    return {}
