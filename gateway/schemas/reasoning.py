"""What requests say of thoughts: many words for whether, how much and how long to think, and how thoughts are told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from marshmallow import ValidationError, fields, validates_schema

from gateway.schemas.objects import Member, Object, Strict, keyed
from gateway.schemas.parameters import INT32_MAX, Boolean, Ignored, Integer, Text, text
from gateway.schemas.problem import refuse, show, show_key
from shared.card import Ability

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Those of OpenAI. The first two ask for no thoughts."""
LARGEST_VARIABLES = 16_384
"""Characters of `chat_template_kwargs`, as JSON."""
_RESERVED = frozenset(
    (
        "add_generation_prompt",
        "bos_token",
        "continue_final_message",
        "documents",
        "eos_token",
        "functions",
        "messages",
        "raise_exception",
        "strftime_now",
        "tools",
    )
)
"""Variables of templates that say something else of the request, or nothing that a request may say."""

_HIDES, _INLINES = "hides", "inlines"
_FORMS = {"auto": "", "deepseek": "", "parsed": "", "hidden": _HIDES, "none": _INLINES, "raw": _INLINES}
"""llama.cpp's and Groq's names: thoughts are told apart, not at all, or within the content."""
_PLACES = (
    ("reasoning_effort",),
    ("reasoning", "effort"),
    ("reasoning", "enabled"),
    ("reasoning", "max_tokens"),
    ("thinking", "type"),
    ("thinking", "budget_tokens"),
    ("enable_thinking",),
    ("think",),
    ("thinking_budget",),
    ("thinking_budget_tokens",),
    ("thinking_token_budget",),
    ("reasoning_budget",),
    ("reasoning_budget_tokens",),
    ("chat_template_kwargs", "enable_thinking"),
    ("chat_template_kwargs", "thinking"),
    ("chat_template_kwargs", "reasoning_effort"),
    ("chat_template_kwargs", "thinking_budget"),
)
"""Where requests say whether, how much and how long to think."""


class Effort(fields.Field[str]):
    """How much to think; empty: as the model does."""

    json_schema: ClassVar[dict[str, Any]] = {"enum": [*EFFORTS, "auto", "default"]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        name = text(value)
        if name in ("auto", "default"):
            return ""
        if name not in EFFORTS:
            raise refuse("unsupported_value", f"{show(name)} is none of {', '.join(EFFORTS)}")
        return name


class Think(Effort):
    """Ollama's: whether to think, or how much."""

    json_schema: ClassVar[dict[str, Any]] = {"anyOf": [{"type": "boolean"}, {"enum": [*EFFORTS, "auto", "default"]}]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> Any:
        return value if isinstance(value, bool) else super()._deserialize(value, *args, **kwargs)


class Budget(Integer):
    """Tokens of thoughts at most; -1: as many as the model wants."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(-1, INT32_MAX, **kwargs)


class ThinkingKind(fields.Field[bool | None]):
    """Whether to think; None: as the model does."""

    _kinds: ClassVar = {"enabled": True, "disabled": False, "adaptive": None, "auto": None}
    json_schema: ClassVar = {"enum": list(_kinds)}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> bool | None:
        if (name := text(value)) not in self._kinds:
            raise refuse("unsupported_value", f"{show(name)} is none of {', '.join(self._kinds)}")
        found: bool | None = self._kinds[name]
        return found


class Form(fields.Field[str]):
    """How thoughts are told."""

    json_schema: ClassVar = {"enum": list(_FORMS)}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        if (name := text(value)) not in _FORMS:
            raise refuse("unsupported_value", f"{show(name)} is none of {', '.join(_FORMS)}")
        return _FORMS[name]


class ReasoningObject(Strict):
    """OpenRouter's."""

    enabled = Boolean()
    effort = Effort()
    max_tokens = Budget()
    exclude = Boolean()  # type: ignore[assignment]  # a field, not an option
    summary = generate_summary = Ignored(Text())


class ThinkingObject(Strict):
    """Anthropic's and others'."""

    type = ThinkingKind(required=True)
    budget_tokens = Budget()
    display = Ignored(Text())


class Variables(Object):
    """What a template is told beside the conversation: any JSON."""

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> dict[str, Any]:
        given = super()._deserialize(value, *args, **kwargs)
        for name in given:
            if name in _RESERVED:
                raise refuse("invalid_value", "the request says it in another place", name=show_key(name))
            text(name, name=show_key(name))
        try:
            blob = json.dumps(given)
        except RecursionError as exc:
            raise refuse("invalid_value", "it is nested too deeply") from exc
        if len(blob) > LARGEST_VARIABLES:
            reason = f"at most {LARGEST_VARIABLES} characters as JSON, but there are {len(blob)}"
            raise refuse("string_above_max_length", reason)
        return {name: _read(name, part) for name, part in given.items() if part is not None or name not in _KNOWN}


class ReasoningSchema(Strict):
    reasoning_effort = Effort()
    reasoning = Member(ReasoningObject)
    include_reasoning = Boolean()
    reasoning_format = Form()
    thinking = Member(ThinkingObject)
    enable_thinking = Boolean()
    think = Think()
    thinking_budget = thinking_budget_tokens = thinking_token_budget = Budget()
    reasoning_budget = reasoning_budget_tokens = Budget()
    chat_template_kwargs = Variables()

    @validates_schema
    def agrees(self, data: dict[str, Any], **kwargs: Any) -> None:
        thinking(data)
        telling(data)

    def needs(self, data: Mapping[str, Any]) -> dict[str, Ability]:
        found = {name: Ability.REASONING for name in _NAMES if data.get(name) not in (None, {}, [])}
        if variables := keyed(data.get("chat_template_kwargs") or {}):
            of_thoughts = [name for name, value in variables.items() if name in _KNOWN and value is not None]
            if len(of_thoughts) < len(variables):
                del found["chat_template_kwargs"]
                found |= {f"chat_template_kwargs.{name}": Ability.REASONING for name in of_thoughts}
        efforts = (name for name, value in _said(data) if value in EFFORTS[2:])
        return found | dict.fromkeys(efforts, Ability.EFFORT)


_NAMES = tuple(ReasoningSchema().fields)  # a schema lies in circles: none is made for a request
_KNOWN: Mapping[str, fields.Field[Any]] = {
    "enable_thinking": Boolean(),
    "thinking": Boolean(),
    "reasoning_effort": Effort(),
    "thinking_budget": Budget(),
}
"""The variables that other parameters stand for."""


def _read(name: str, value: object) -> Any:
    try:
        return _KNOWN[name].deserialize(value) if name in _KNOWN else value
    except ValidationError as exc:
        raise ValidationError({name: exc.messages}) from exc


def thinking(given: Mapping[str, Any]) -> dict[str, Any]:
    """What `read` returned, as fields of `FineChat`. Raises ValidationError where it says two things at once."""
    switches, efforts, budgets = dict[str, bool](), dict[str, str](), dict[str, int]()
    for name, value in _said(given):
        if isinstance(value, bool):
            switches[name] = value
        elif value == 0 or value in EFFORTS[:2]:
            switches[name] = False
        elif isinstance(value, int) and value > 0:
            budgets[name] = value
        elif isinstance(value, str) and value:
            efforts[name] = value
    effort, budget, _ = _agree(efforts), _agree(budgets), _agree(switches | dict.fromkeys(efforts, True))
    thinks = next(iter(switches.values()), None)
    variables = {name: value for name, value in given.get("chat_template_kwargs", {}).items() if name not in _KNOWN}
    return {
        "thinking": thinks,
        "effort": effort or "",
        "thinking_budget": None if thinks is False else budget,
        "template_kwargs": json.dumps(variables) if variables else "",
    }


def telling(given: Mapping[str, Any]) -> dict[str, bool]:
    """What `read` returned, as fields of `Options`. Raises ValidationError like `thinking`."""
    said = {}
    if "include_reasoning" in given:
        said["include_reasoning"] = "" if given["include_reasoning"] else _HIDES
    if "exclude" in given.get("reasoning", {}):
        said["reasoning.exclude"] = _HIDES if given["reasoning"]["exclude"] else ""
    if (form := given.get("reasoning_format")) and (form == _HIDES or _HIDES in said.values()):
        said["reasoning_format"] = form
    return {"hides_reasoning": _agree(said) == _HIDES, "inlines_reasoning": form == _INLINES}


def _said(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Whether, how much and how long to think: what each parameter says, by its name."""
    for path in _PLACES:
        value: Any = given
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None:
            yield ".".join(path), value


def _agree(said: Mapping[str, Any]) -> Any:
    """What all of them say; None where there are none."""
    first = next(iter(said.items()), None)
    for name, value in said.items():
        if first and value != first[1]:
            raise refuse("invalid_value", f"it says something else than '{first[0]}'", name=name)
    return first and first[1]
