"""The sampling that a model recommends, for requests that do not say how: its makers' or its owner's values."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from shared.protocol import Sampling

RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_k": (0, 2**31 - 1),
    "min_p": (0, 1),
    "typical_p": (0, 1),
    "repeat_penalty": (0.01, 100),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
"""What can be recommended, by the names of `Sampling`: as far as a request may go."""


def find_fault(name: str, value: object) -> str:
    """What is wrong with a recommended value, in words; empty where nothing is."""
    if name not in RANGES:
        return f"unknown; there are {', '.join(RANGES)}"
    low, high = RANGES[name]
    kind, allowed = ("a whole number", int) if name == "top_k" else ("a number", int | float)
    if isinstance(value, bool) or not isinstance(value, allowed) or not low <= value <= high:
        return f"must be {kind}, {low} to {high}, but is {value!r:.40}"
    return ""


def complete(sampling: Sampling, recommended: Mapping[str, float]) -> Sampling:
    """The sampling, with what is recommended where it says nothing itself. What is no right value is passed over.

    A temperature of 0 says all: it takes the likeliest token, and no penalty that nobody asked for may change which
    that is.
    """
    if sampling.temperature == 0:
        return sampling
    silent = {name for name in RANGES if getattr(sampling, name) is None}
    return replace(
        sampling,
        **{name: value for name, value in recommended.items() if name in silent and not find_fault(name, value)},
    )
