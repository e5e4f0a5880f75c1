"""How to choose tokens, in llama.cpp's own terms. All is said each time, else its own defaults would count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.protocol import SAMPLERS, Sampling
from worker.engines.defaults import COLDEST, DEFAULTS
from worker.engines.llama_cpp_grammar import rules

_SAME = (
    "dynatemp_range",
    "dynatemp_exponent",
    "xtc_probability",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "adaptive_target",
    "adaptive_decay",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "dry_sequence_breakers",
    "min_keep",
)
"""Its names for what is the same there."""
_SMALLEST_RANGE = 1e-3
"""A dynamic temperature is never lower: see COLDEST."""
_SMALLEST_THRESHOLD = 1e-30
"""What may not be chosen has a probability of 0: at a threshold of 0 xtc would take it for one of the likely ones, and
leave nothing else."""
_ADAPTIVE = SAMPLERS[-1]
_BREAKER = 3.0
"""Seconds that llama.cpp may take for each, with a large vocabulary on a slow machine; nobody is served meanwhile."""


def terms(sampling: Sampling, context: int, ends: Sequence[int] = ()) -> dict[str, Any]:
    """All that it is to be told; the model can look back on `context` tokens, and ends its answers with these."""
    given = {name: getattr(sampling, name) for name in DEFAULTS}
    chosen = {name: default if given[name] is None else given[name] for name, default in DEFAULTS.items()}
    chosen |= {name: getattr(sampling, name) for name in _SAME}
    if chosen["temperature"] < COLDEST:
        chosen["temperature"] = 0.0
    if reach := sampling.dynatemp_range:
        low, high = max(_SMALLEST_RANGE, chosen["temperature"] - reach), chosen["temperature"] + reach
        chosen |= {"temperature": (high + low) / 2, "dynatemp_range": (high - low) / 2}
    return chosen | {
        "xtc_threshold": max(sampling.xtc_threshold, _SMALLEST_THRESHOLD),
        "seed": sampling.seed,
        "ignore_eos": sampling.ignore_eos,
        "logit_bias": sampling.logit_bias,
        "repeat_last_n": _window(sampling.repeat_last_n, context),
        "dry_penalty_last_n": _window(sampling.dry_penalty_last_n, context),
        "top_n_sigma": sampling.top_n_sigma or -1,
        "samplers": _order(sampling),
        "grammar": rules(sampling.grammar, ends) if sampling.grammar else "",
    }


def endless(sampling: Sampling) -> dict[str, Any]:
    """As long as nothing may end the answer: no such token is chosen."""
    return {"ignore_eos": True, "logit_bias": (*sampling.logit_bias, *((i, False) for i in sampling.stop_token_ids))}


def setup(sampling: Sampling) -> float:
    """Seconds that it may take before it begins."""
    return _BREAKER * len(sampling.dry_sequence_breakers) if sampling.dry_multiplier else 0.0


def _order(sampling: Sampling) -> tuple[str, ...]:
    """The last one is used where it is named, which takes another draw: so it is named where it is on."""
    others = tuple(name for name in sampling.samplers or SAMPLERS if name != _ADAPTIVE)
    return (*others, _ADAPTIVE) if sampling.adaptive_target >= 0 else others


def _window(tokens: int, context: int) -> int:
    """llama.cpp makes room for as many as it is told to look back on, also where there are never so many."""
    return context if tokens < 0 else min(tokens, context)
