"""What chat and completions have in common: how to choose tokens, and how to send the answer."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from gateway.schemas.parameters import INT32_MAX, Array, Boolean, Integer, Number, Object, Only, Strict, Text, text
from gateway.schemas.problem import first, refuse, show, show_key, wrong_type
from shared.protocol import Options, Sampling
from shared.ticket import Tier

_SEEDS = 2**32 - 1
"""Engines take seeds of 32 bits, and llama.cpp's highest means: choose one."""

_MAX_BIASES = 1024
_TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,9}")

_SAMPLING = frozenset(Sampling.__struct_fields__)


class Stop(Array):
    """One string, or an array of them."""

    def __init__(self) -> None:
        super().__init__(Text(empty=False), low=0, high=16)

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, str):
            return [self.inner.deserialize(value)]
        if not isinstance(value, list):
            raise wrong_type("a string or an array of strings", value)
        return super()._deserialize(value, *args, **kwargs)


class LogitBias(fields.Field[tuple[tuple[int, float], ...]]):
    """An object: token ids as strings, and what to add to their logits."""

    _bias = Number(-100, 100)

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> tuple[tuple[int, float], ...]:
        if not isinstance(value, dict):
            raise wrong_type("an object", value)
        if len(value) > _MAX_BIASES:
            raise refuse("invalid_value", f"at most {_MAX_BIASES} tokens, but there are {len(value)}")
        biases = []
        for key, bias in value.items():
            if not _TOKEN_ID.fullmatch(key) or int(key) > INT32_MAX:
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

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        name = text(value)
        if name not in _TIERS:
            raise refuse("unsupported_value", f"{show(name)} is none of {', '.join(_TIERS)}")
        return _TIERS[name]


class StreamOptions(Strict):
    include_usage = Boolean(load_default=False)
    include_obfuscation = Boolean()  # without effect: nothing is ever padded


class SamplingSchema(Strict):
    model = Text(empty=False, required=True)

    max_tokens = Integer(1, INT32_MAX)
    temperature = Number(0, 2)
    top_p = Number(0, 1)
    top_k = Integer(0, INT32_MAX)
    min_p = Number(0, 1)
    typical_p = Number(0, 1)
    # Logits are divided by it in 32 bits: nearer to 0, or far above, only infinities come out.
    repeat_penalty = Number(0.01, 100)
    presence_penalty = Number(-2, 2)
    frequency_penalty = Number(-2, 2)
    seed = Integer(-(2**63), 2**63 - 1)
    stop = Stop()
    ignore_eos = Boolean()
    logit_bias = LogitBias()

    n = Integer(1, 128, load_default=1)
    stream = Boolean(load_default=False)
    stream_options = fields.Nested(StreamOptions)
    return_token_ids = Boolean(load_default=False)
    service_tier = ServiceTier(load_default=Tier.DEFAULT.value)

    # Accepted without effect.
    user = Text()
    metadata = Object(strings=True)
    safety_identifier = Text()
    prompt_cache_key = Text()
    prompt_cache_retention = Text()
    prompt_cache_options = Object()
    verbosity = Text()
    store = Only(False)

    @validates_schema
    def streams(self, data: dict[str, Any], **kwargs: Any) -> None:
        if "stream_options" in data and not data["stream"]:
            raise refuse("invalid_value", "only allowed when 'stream' is true", name="stream_options")

    def read(self, body: object) -> dict[str, Any]:
        """The given parameters by name, valid. Raises InvalidRequest."""
        try:
            given: dict[str, Any] = self.load(body)  # type: ignore[arg-type]  # whatever JSON gave: `known` looks
        except ValidationError as exc:
            raise first(exc) from exc
        return given


def sampling(given: dict[str, Any], seed: int, max_tokens: int | None) -> Sampling:
    """What `read` returned, as the task's part. `seed` is taken where the request gives none."""
    chosen = {name: value for name, value in given.items() if name in _SAMPLING}
    chosen["seed"] = chosen.get("seed", seed) % _SEEDS
    chosen["stop"] = tuple(chosen.get("stop", ()))
    chosen["max_tokens"] = max_tokens
    return Sampling(**chosen)


def options(given: dict[str, Any]) -> Options:
    """What `read` returned, as far as it concerns the answer."""
    include_usage = given.get("stream_options", {}).get("include_usage", False)
    return Options(given["stream"], include_usage, given["service_tier"])
