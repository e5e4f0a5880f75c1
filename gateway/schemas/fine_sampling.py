"""What llama.cpp, vLLM and their neighbours know of sampling beyond OpenAI, and what they call the rest."""

from __future__ import annotations

from typing import Any

from marshmallow import post_load

from gateway.schemas.caps import MAX_TOKENS
from gateway.schemas.objects import Strict
from gateway.schemas.parameters import INT32_MAX, Array, Boolean, Integer, Number, Only, Text, Word
from gateway.schemas.problem import refuse
from shared.protocol import FINE, SAMPLERS, FineSampling, Sampling

MOST_STOP_TOKENS = 128
"""Ids in `stop_token_ids`."""
MOST_BREAKERS = 4
"""Strings in `dry_sequence_breakers`: as many as the usual ones. Before an answer llama.cpp looks for each in its whole
vocabulary, while all its other answers wait."""
LONGEST_BREAKER = 16
"""Characters of one."""

ALIASES = {
    "n_predict": "max_tokens",
    "max_new_tokens": "max_tokens",
    "num_predict": "max_tokens",
    "min_new_tokens": "min_tokens",
    "min_length": "min_tokens",
    "stopping_strings": "stop",
    "sampler_seed": "seed",
    "repetition_penalty": "repeat_penalty",
    "rep_pen": "repeat_penalty",
    "repetition_penalty_range": "repeat_last_n",
    "rep_pen_range": "repeat_last_n",
    "typical": "typical_p",
    "nsigma": "top_n_sigma",
    "mirostat_mode": "mirostat",
    "ban_eos_token": "ignore_eos",
}
"""What others call the same."""

_SWITCHES = {
    "dynatemp_range": ("dynatemp_exponent",),
    "xtc_probability": ("xtc_threshold",),
    "mirostat": ("mirostat_tau", "mirostat_eta"),
    "dry_multiplier": ("dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers"),
}
"""At 0, or not given, these are off, and the others say nothing: clients send them all the time."""


class Limit(Integer):
    """A number of tokens; -1: as many as the operator allows. See `LogprobsSchema` for when there may be none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(0, MAX_TOKENS, **kwargs)

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "integer", "const": -1}, super().json_schema]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> int:
        return int(MAX_TOKENS) if value == -1 else super()._deserialize(value)


class FineSamplingSchema(Strict):
    max_tokens = n_predict = max_new_tokens = num_predict = Limit()
    min_tokens = min_new_tokens = min_length = Integer(0, MAX_TOKENS)
    stop_token_ids = Array(Integer(0, INT32_MAX), low=0, high=MOST_STOP_TOKENS)
    ignore_eos = ban_eos_token = Boolean()
    cache_prompt = Boolean()

    typical_p = typical = Number(0, 1)
    # Logits are divided by it in 32 bits: nearer to 0, or far above, only infinities come out.
    repeat_penalty = repetition_penalty = rep_pen = Number(0.01, 100)
    repeat_last_n = repetition_penalty_range = rep_pen_range = Integer(-1, INT32_MAX)
    top_n_sigma = nsigma = Number(-1, 100)
    dynatemp_range = Number(0, 100)
    dynatemp_exponent = Number(0, 10)
    xtc_probability = Number(0, 1)
    xtc_threshold = Number(0, 1)
    mirostat = mirostat_mode = Integer(0, 2)
    mirostat_tau = Number(0, 20)
    mirostat_eta = Number(0, 1)
    adaptive_target = Number(-1, 1)
    adaptive_decay = Number(0, 0.99)
    dry_multiplier = Number(0, 100)
    dry_base = Number(1, 100)
    dry_allowed_length = Integer(0, INT32_MAX)
    dry_penalty_last_n = Integer(-1, INT32_MAX)
    dry_sequence_breakers = Array(Text(empty=False, longest=LONGEST_BREAKER), low=1, high=MOST_BREAKERS)
    min_keep = Integer(0, INT32_MAX)
    samplers = Array(Word(*SAMPLERS), low=1, high=len(SAMPLERS))

    # Not supported: at these values they ask for nothing.
    include_stop_str_in_output = Only(False)
    skip_special_tokens = Only(True)
    spaces_between_special_tokens = Only(True, False)  # special tokens are skipped
    truncate_prompt_tokens = Only()
    detokenize = add_bos_token = do_sample = Only(True)
    bad_words = banned_strings = Only([])
    custom_token_bans = negative_prompt = Only("")
    penalize_nl = Only(False)
    n_keep = n_discard = max_tokens_second = Only(0)
    t_max_predict_ms = Only(-1, 0)
    use_beam_search = Only(False)
    length_penalty = Only(1)
    early_stopping = Only(False)
    num_beams = Only(1)
    no_repeat_ngram_size = Only(0)
    encoder_repetition_penalty = Only(1)
    penalty_alpha = Only(0)
    guidance_scale = Only(1)
    rep_pen_slope = Only(0, 1)
    tfs = tfs_z = Only(1)
    top_a = Only(0)
    epsilon_cutoff = eta_cutoff = Only(0)
    smoothing_factor = Only(0)
    smoothing_curve = Only(1)
    dynamic_temperature = temperature_last = Only(False)

    @post_load
    def unite(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """The parameters under the names of `Sampling`, without what is off."""
        for alias, name in ALIASES.items():
            if alias in data and data.setdefault(name, data[alias]) != data.pop(alias):
                raise refuse("invalid_value", f"it is another name of '{name}', which has another value", name=alias)
        for switch, details in _SWITCHES.items():
            if not data.get(switch):
                for name in details:
                    data.pop(name, None)
        if data.get("top_n_sigma", 0) < 0:
            data["top_n_sigma"] = 0.0
        if data.get("adaptive_target", -1) < 0:
            for name in ("adaptive_target", "adaptive_decay"):
                data.pop(name, None)
        if data.get("samplers") in ([*SAMPLERS], [*SAMPLERS[:-1]]):
            del data["samplers"]
        return data


def make_sampling(parts: dict[str, Any]) -> Sampling:
    """The record; of the kind that says whether there is anything FINE in it."""
    values: dict[str, Any] = {name: tuple(part) if isinstance(part, list) else part for name, part in parts.items()}
    fine = FineSampling(**values)
    return fine if fine.fine else Sampling(**{name: part for name, part in values.items() if name not in FINE})
