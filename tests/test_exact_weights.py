"""Weights in Q5_0 are prepared as Q8_0 without the least change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.tiny import TINY
from worker.formats.gguf import read_header
from worker.formats.preparation import Weights, prepare
from worker.formats.quantise import quantise

Q5_0, Q8_0 = 6, 8


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    quantise(TINY, tmp_path / "model.gguf", "Q5_0", pure=True)
    return tmp_path / "model.gguf"


def prepared(model: Path) -> Weights:
    """On a machine where it pays."""

    def compare(shapes: Mapping[int, Sequence[tuple[int, int]]], wanted: int, threads: int) -> dict[int, list[float]]:
        return {kind: [1.0, 1.5, 2.0] for kind in shapes}

    return prepare(model, compare=compare)


def test_each_weight_is_what_it_was(model: Path) -> None:
    served = prepared(model)
    assert served.original == "Q5_0"
    before, after = gguf.GGUFReader(model).tensors, gguf.GGUFReader(served.path).tensors
    changed = 0
    for old, new in zip(before, after, strict=True):
        same = [gguf.quants.dequantize(each.data, each.tensor_type).tobytes() for each in (old, new)]
        assert same[0] == same[1], old.name
        changed += (old.tensor_type, new.tensor_type) == (Q5_0, Q8_0)
    assert changed > 10


def test_a_scale_that_is_no_number_leaves_the_file_as_it_is(model: Path) -> None:
    header, data = read_header(model), bytearray(model.read_bytes())
    tensor = next(each for each in header.tensors if each.kind == Q5_0 and each.name.startswith("blk."))
    second = header.data_offset + tensor.offset + 22
    data[second : second + 2] = np.float16("nan").tobytes()
    model.write_bytes(data)
    served = prepared(model)
    assert served.path == model
    assert "no numbers" in served.why
