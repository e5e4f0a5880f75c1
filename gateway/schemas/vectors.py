"""Vectors as JSON: an array of numbers, or base64."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
from msgspec import Raw

from gateway.schemas.openai import encode
from shared.protocol import Pooled

_DIGITS = 9
"""So many tell each number of 32 bits apart from all others."""


def write_floats(event: Pooled) -> Iterator[Raw]:
    """Arrays of numbers: with as few digits as say the same, for of 2048 vectors they are most of ten megabytes."""
    lengths = [len(vector) // 4 for vector in event.vectors]
    numbers = _shorten(np.frombuffer(b"".join(event.vectors), "<f4").astype(float)).tolist()
    end = 0
    for length in lengths:
        begin, end = end, end + length
        yield Raw(encode(numbers[begin:end]))


def write_base64(event: Pooled) -> Iterator[Raw]:
    """Strings: float32, little-endian, in base64."""
    for vector in event.vectors:
        yield Raw(encode(base64.b64encode(vector).decode()))


def _shorten(numbers: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    sizes = np.abs(np.where(numbers == 0, 1, numbers))
    scale = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(sizes)))
    return np.rint(numbers * scale) / scale
