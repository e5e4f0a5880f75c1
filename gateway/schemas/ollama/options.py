"""The `options` of Ollama's requests: how tokens are chosen, and how a model is loaded, which is its operator's."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from marshmallow import post_load

from gateway.schemas.caps import MAX_TOKENS
from gateway.schemas.fine_sampling import make_sampling
from gateway.schemas.ollama.open import Open
from gateway.schemas.parameters import INT32_MAX, Boolean, Ignored, Integer, Number
from gateway.schemas.sampling import SEEDS, Stop
from shared.config import Config
from shared.protocol import Grammar, Sampling

USUAL: Mapping[str, float] = MappingProxyType({"temperature": 0.8, "top_k": 40, "top_p": 0.9})
"""What Ollama takes where neither the request nor the model says it."""
_SETTING = Integer(-1, INT32_MAX)
_PREFIX = "options."


class OptionsSchema(Open):
    temperature = Number(0, 100)
    top_k = Integer(-1, INT32_MAX)
    top_p = Number(0, 1)
    min_p = Number(0, 1)
    typical_p = Number(0, 1)
    repeat_penalty = Number(0.01, 100)
    repeat_last_n = Integer(-1, INT32_MAX)
    presence_penalty = Number(-2, 2)
    frequency_penalty = Number(-2, 2)
    mirostat = Integer(0, 2)
    mirostat_tau = Number(0, 20)
    mirostat_eta = Number(0, 1)
    seed = Integer(-(2**63), 2**63 - 1)
    num_predict = Integer(-2, INT32_MAX)
    stop = Stop()

    # Of how a model is loaded.
    num_ctx = Ignored(_SETTING)
    num_batch = Ignored(_SETTING)
    num_keep = Ignored(_SETTING)
    num_gpu = Ignored(_SETTING)
    main_gpu = Ignored(_SETTING)
    num_thread = Ignored(_SETTING)
    use_mmap = Ignored(Boolean())
    draft_num_predict = Ignored(_SETTING)

    @post_load
    def choose(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Those of sampling, under the names of `Sampling`, without what is off."""
        chosen = {name: value for name, value in data.items() if name in _SAMPLING}
        if not chosen.get("mirostat"):
            for name in ("mirostat_tau", "mirostat_eta"):
                chosen.pop(name, None)
        if "top_k" in chosen:
            chosen["top_k"] = max(0, chosen["top_k"])
        return chosen

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        much = (data.get("num_predict") or 0) > int(MAX_TOKENS)
        return [*super().ignored(data), *(["num_predict"] if much else [])]


_SAMPLING = {name for name, field in OptionsSchema().fields.items() if not isinstance(field, Ignored)}
PARAMETERS = {name: _PREFIX + name for name in _SAMPLING} | {"max_tokens": f"{_PREFIX}num_predict"}
"""See `Format.parameters`."""


def make(chosen: Mapping[str, Any], seed: int, config: Config, **more: Grammar | int | None) -> Sampling:
    """What `OptionsSchema` read, as the task's part; `more` are parts of it that are said elsewhere.

    More tokens than the operator allows are as many as he does; without an end, which is Ollama's default, as many as
    chats have here.
    """
    parts = {**chosen, **more}
    wanted, asked = parts.pop("num_predict", None), parts.get("seed", -1)
    parts["seed"] = (seed if asked == -1 else asked) % SEEDS
    parts["max_tokens"] = config.usual_max_tokens
    if wanted is not None:
        parts["max_tokens"] = min(wanted, config.max_tokens) if wanted > 0 else config.max_tokens
    return make_sampling(parts)
