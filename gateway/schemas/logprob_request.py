"""What requests say of log probabilities, in OpenAI's, vLLM's and llama.cpp's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import fields, validates_schema

from gateway.schemas.objects import Strict
from gateway.schemas.parameters import Boolean, Integer
from gateway.schemas.problem import refuse

MOST_ALTERNATIVES = 20
"""Tokens that might have come, told of each that has."""
_LIMITS = ("max_completion_tokens", "max_tokens", "n_predict", "max_new_tokens", "num_predict")


class Alternatives(Integer):
    """So many tokens that might have come are told too."""

    def __init__(self) -> None:
        super().__init__(0, MOST_ALTERNATIVES)


class Logprobs(fields.Field[int | bool]):
    """That of a completion: how many alternatives; a boolean, as chats have it, asks for none of them."""

    _number = Alternatives()

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [self._number.json_schema, {"type": "boolean"}]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> int | bool:
        return value if isinstance(value, bool) else self._number._deserialize(value)


class LogprobsSchema(Strict):
    """Those of chats and completions. `logprobs` and `echo` are theirs."""

    n_probs = Alternatives()
    prompt_logprobs = Alternatives()
    return_tokens_as_token_ids = Boolean(load_default=False)

    @validates_schema
    def scores(self, data: dict[str, Any], **kwargs: Any) -> None:
        name, logprobs = asked(data)
        if data.get("n_probs") not in (None, 0, logprobs):
            reason = f"it is another name of '{name}', which has another value"
            raise refuse("invalid_value", reason, name="n_probs")
        if data["stream"] and "prompt_logprobs" in data:
            raise refuse("unsupported_value", "not supported together with 'stream'", name="prompt_logprobs")
        if "prompt_logprobs" in data or data.get("echo"):
            return
        for limit in _LIMITS:
            if data.get(limit) == 0:
                reason = "must be at least 1 without 'echo' or 'prompt_logprobs', but is 0"
                raise refuse("integer_below_min_value", reason, name=limit)

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        vain = data.get("return_tokens_as_token_ids") and asked(data)[1] is None
        return [*super().ignored(data), *(["return_tokens_as_token_ids"] if vain else [])]


def asked(data: Mapping[str, Any]) -> tuple[str, int | None]:
    """How many alternatives of each token of the answer, and by which parameter; None: nothing is told of it.

    `data` is a request that was found valid, or is being judged.
    """
    wanted, most = data.get("logprobs"), data.get("top_logprobs")
    if wanted is False:
        return "logprobs", None
    if wanted is not None and wanted is not True:
        return "logprobs", int(wanted)
    if wanted and most is not None:
        return "top_logprobs", int(most)
    if number := data.get("n_probs"):
        return "n_probs", int(number)
    return "logprobs", 0 if wanted else None


def told(given: Mapping[str, Any]) -> dict[str, int | None]:
    """What `SamplingSchema.read` returned, as parts of `Sampling`.

    Where the prompt is repeated, what is told of the answer's tokens is told of its own.
    """
    _, logprobs = asked(given)
    prompt = given.get("prompt_logprobs")
    if given.get("echo") and logprobs is not None:
        prompt = max(logprobs, prompt or 0)
    return {"logprobs": logprobs, "prompt_logprobs": prompt}
