"""What chat and completions have in common: how to choose tokens, and how to send the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import ValidationError, fields
from msgspec.structs import replace

from gateway.schemas.caching import CachingSchema, caching
from gateway.schemas.caps import MAX_CHOICES, MAX_LOGIT_BIASES, MAX_STOPS
from gateway.schemas.fine_sampling import FineSamplingSchema, make_sampling
from gateway.schemas.ignored import IgnoredSchema
from gateway.schemas.json_schema import mapping
from gateway.schemas.logprob_request import LogprobsSchema, told
from gateway.schemas.objects import Member, Strict, keyed
from gateway.schemas.parameters import INT32_MAX, Array, Boolean, Ignored, Integer, Number, Text, text
from gateway.schemas.problem import refuse, show, show_key, wrong_type
from gateway.schemas.reasoning import telling
from gateway.schemas.structured import StructuredSchema, grammar
from shared.errors import InvalidRequest
from shared.protocol import Grammar, Options, Sampling, Task, TextTask
from shared.protocol.sampling import REPEATED
from shared.ticket import Tier

SEEDS = 2**32 - 1
"""Engines take seeds of 32 bits, and llama.cpp's highest means: choose one."""

LONGEST_STOP = 1024
"""Bytes of a stop string."""
_TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,8}")

_SAMPLING = frozenset(Sampling.__struct_fields__)


class StopText(Text):
    """Its bytes are counted: those of a model's tokens are what it is compared with."""

    def __init__(self) -> None:
        super().__init__(empty=False, longest=LONGEST_STOP)

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        stop = super()._deserialize(value, *args, **kwargs)
        if (size := len(stop.encode())) > LONGEST_STOP:
            raise refuse("string_above_max_length", f"at most {LONGEST_STOP} bytes, but it has {size}")
        return stop


class Stop(fields.Field[list[Any]]):
    """One string, or an array of them."""

    _one = StopText()
    _several = Array(_one, low=0, high=MAX_STOPS)

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [self._one.json_schema, self._several.json_schema]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, str):
            return [self._one.deserialize(value)]
        if not isinstance(value, list):
            raise wrong_type("a string or an array of strings", value)
        return self._several._deserialize(value)


class LogitBias(fields.Field[tuple[tuple[int, float], ...]]):
    """An object: token ids as strings, and what to add to their logits."""

    _bias = Number(-100, 100)

    @property
    def json_schema(self) -> dict[str, Any]:
        names = {"type": "string", "pattern": f"^({_TOKEN_ID.pattern})$"}
        bounds = {"propertyNames": names, "maxProperties": int(MAX_LOGIT_BIASES)}
        return mapping(**bounds, additionalProperties=self._bias.json_schema)

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> tuple[tuple[int, float], ...]:
        value = keyed(value)
        if len(value) > int(MAX_LOGIT_BIASES):
            raise refuse("invalid_value", f"at most {MAX_LOGIT_BIASES} tokens, but there are {len(value)}")
        biases = []
        for key, bias in value.items():
            if not _TOKEN_ID.fullmatch(key):
                raise refuse("invalid_value", f"{show(key)} is no token id", name=show_key(key))
            try:
                amount = self._bias.deserialize(bias)
            except ValidationError as exc:
                raise ValidationError({show_key(key): exc.messages}) from exc
            assert amount is not None  # null was refused
            biases.append((int(key), amount))
        return tuple(biases)


_TIERS = {
    "auto": Tier.DEFAULT.value,
    "default": Tier.DEFAULT.value,
    "priority": Tier.PRIORITY.value,
    "fast": Tier.PRIORITY.value,  # as OpenAI calls it too
    "flex": Tier.FLEX.value,
}


class ServiceTier(fields.Field[str]):
    """How soon the job is served, beside others that wait."""

    json_schema: ClassVar = {"enum": list(_TIERS)}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        name = text(value)
        if name not in _TIERS:
            raise refuse("unsupported_value", f"{show(name)} is none of {', '.join(_TIERS)}")
        return _TIERS[name]


class StreamOptions(Strict):
    include_usage = Boolean(load_default=False)
    continuous_usage_stats = Boolean(load_default=False)
    include_obfuscation = Ignored(Boolean())  # nothing is ever padded

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        vain = data.get("continuous_usage_stats") and not data.get("include_usage")
        return [*super().ignored(data), *(["continuous_usage_stats"] if vain else [])]


class SamplingSchema(FineSamplingSchema, LogprobsSchema, StructuredSchema, CachingSchema, IgnoredSchema):
    model = Text(empty=False, required=True)

    temperature = Number(0, 100)
    top_p = Number(0, 1)
    top_k = Integer(-1, INT32_MAX)
    min_p = Number(0, 1)
    presence_penalty = Number(-2, 2)
    frequency_penalty = Number(-2, 2)
    seed = sampler_seed = Integer(-(2**63), 2**63 - 1)
    stop = stopping_strings = Stop()
    logit_bias = LogitBias()

    n = Integer(1, 128, load_default=1)
    stream = Boolean(load_default=False)
    stream_options = Member(StreamOptions)
    return_token_ids = Boolean(load_default=False)
    service_tier = ServiceTier(load_default=Tier.DEFAULT.value)

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        if data.get("stream_options") is None or data.get("stream"):
            return super().ignored(data)
        return [*super().ignored({**data, "stream_options": None}), "stream_options"]


def refuse_choices(prompts: int, each: int, name: str) -> None:
    """Refuse more than the operator's cap; `name` is the parameter that asks for so many of `each` prompt."""
    if (choices := prompts * each) > int(MAX_CHOICES):
        raise refuse("invalid_value", f"at most {MAX_CHOICES} choices in all, but these are {choices}", name=name)


def sampling(given: dict[str, Any], seed: int, max_tokens: int, form: Grammar | None = None) -> Sampling:
    """What `read` returned, as the task's part. `seed` is taken where it gives none or -1; `form` is what else it says
    of the form of the answer. Raises InvalidRequest."""
    chosen = {name: value for name, value in given.items() if name in _SAMPLING}
    asked = chosen.get("seed", -1)
    chosen["seed"] = (seed if asked == -1 else asked) % SEEDS
    chosen["stop"] = tuple(chosen.get("stop", ()))
    chosen["top_k"] = max(0, top_k) if (top_k := chosen.get("top_k")) is not None else None
    chosen["max_tokens"] = max_tokens
    chosen["caching"] = caching(given)
    chosen["grammar"] = form or grammar(given)
    chosen |= told(given)
    if (least := chosen.get("min_tokens", 0)) > max_tokens:
        problem = f"Invalid 'min_tokens': must be at most {max_tokens}, the most that there may be, but is {least}."
        raise InvalidRequest(problem, param="min_tokens", code="invalid_value")
    return make_sampling(chosen)


def options(given: dict[str, Any]) -> Options:
    """What `read` returned, as far as it concerns the answer."""
    asked = given.get("stream_options", {})
    include_usage = given["stream"] and asked.get("include_usage", False)
    continuous = include_usage and asked.get("continuous_usage_stats", False)
    legacy = bool(given.get("functions"))
    chosen = Options(
        given["stream"],
        include_usage,
        given["service_tier"],
        continuous,
        legacy,
        tokens_as_ids=given["return_tokens_as_token_ids"],
        prompt_logprobs=given.get("prompt_logprobs"),
    )
    return replace(chosen, **telling(given))


def tell_sampling(task: Task) -> dict[str, float]:
    """How an answer is sampled, as OpenAI's tell it: also where the request says nothing, and the model's own hold."""
    chosen = task.sampling if isinstance(task, TextTask) else Sampling(0)
    usual = {"temperature": 1.0, "top_p": 1.0}
    told = {name: getattr(chosen, name) for name in REPEATED}
    return {name: usual.get(name, 0.0) if value is None else value for name, value in told.items()}
