"""Perplexity is that of the true probabilities, which plain numpy computes from the checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import output
from tests.fixtures.forward import true_logprobs
from tests.tiny import TINY

TEXT = "def main(args): return 0\nHéllo 🙂 wörld, again and again and again."


def measured(*flags: str | Path) -> Any:
    return json.loads(output("perplexity", "-m", TINY, "--json", *flags))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def ids() -> list[int]:
    """Some of them are parts of a character."""
    return [token["id"] for token in json.loads(output("tokens", "-m", TINY, "-p", TEXT, "--json"))]


def test_the_value_and_its_standard_error(text: Path, ids: list[int]) -> None:
    truth, told = true_logprobs(ids), measured("-f", text)
    value = math.exp(-np.mean(truth))
    assert told["tokens"] == len(truth)
    assert told["perplexity"] == pytest.approx(value, rel=2e-3)
    assert told["standard_error"] == pytest.approx(value * np.std(truth, ddof=1) / math.sqrt(len(truth)), rel=1e-2)


@pytest.mark.parametrize(("stride", "flags"), [(8, ()), (12, ("--stride", "12"))])
def test_windows(stride: int, flags: tuple[str, ...], text: Path, ids: list[int]) -> None:
    truth, start = true_logprobs(ids[:16]), 0
    while len(truth) < len(ids) - 1:
        start += stride
        truth += true_logprobs(ids[start : start + 16])[len(truth) - start :]
    told = measured("-f", text, "--context", "16", *flags)
    assert told["tokens"] == len(ids) - 1
    assert told["perplexity"] == pytest.approx(math.exp(-np.mean(truth)), rel=2e-3)
