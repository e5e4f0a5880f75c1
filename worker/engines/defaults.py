"""What a request gets that says nothing, and what no engine is asked for."""

from __future__ import annotations

from collections.abc import Mapping

from shared.catalogue import Model

DEFAULTS: Mapping[str, float] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""OpenAI's; a model may recommend others."""
COLDEST = 1e-6
"""A lower temperature takes the logits out of the range of a float, and nonsense comes out; 0 takes the likeliest."""


def recommended(model: Model, file: Mapping[str, float] | None = None) -> dict[str, float]:
    """What the model recommends in their place: what the catalogue says goes before what its file does."""
    return {**(file or {}), **model.sampling}
